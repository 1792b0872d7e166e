//! `MediaType`: what kind of content a body is.

/// A media type (RFC 9110 §8.3.1), for the `Content-Type` of a response whose handler has set none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType(&'static str);

impl MediaType {
    /// Text in UTF-8.
    pub const TEXT: Self = Self::new("text/plain; charset=utf-8");
    /// A page in UTF-8.
    pub const HTML: Self = Self::new("text/html; charset=utf-8");
    /// JSON.
    pub const JSON: Self = Self::new("application/json");
    /// Bytes of no stated kind.
    pub const BYTES: Self = Self::new("application/octet-stream");

    /// A media type of that name, parameters included.
    ///
    /// # Panics
    /// When it is empty or holds anything but visible ASCII and spaces; in a constant, the program does not compile.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let mut rest = name.as_bytes();
        assert!(!rest.is_empty(), "a media type has a name");
        while let [byte, behind @ ..] = rest {
            assert!(matches!(byte, b' '..=b'~'), "a media type is visible ASCII");
            rest = behind;
        }
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}
