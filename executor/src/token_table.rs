//! `TokenTable`: what a driver keeps behind each [`Token`]. Indices come back, generations do not.

use crate::driver::Token;

/// A table from tokens to `T`, for drivers.
///
/// Access with a token that was removed is a bug of the caller, who broke the contract of
/// [`Driver::close`](crate::driver::Driver::close); it panics and names the token.
#[derive(Debug)]
pub struct TokenTable<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for TokenTable<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> TokenTable<T> {
    /// Adds a value. The place given back last is used first.
    ///
    /// # Panics
    /// At 2³² values.
    pub fn insert(&mut self, value: T) -> Token {
        self.insert_with(|_| value)
    }

    /// Adds the value that `make` gives for its token.
    ///
    /// # Panics
    /// As [`TokenTable::insert`].
    pub fn insert_with(&mut self, make: impl FnOnce(Token) -> T) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, value: None });
            u32::try_from(self.places.len() - 1).expect("fewer than 2^32 tokens are open")
        });
        let place = &mut self.places[index as usize];
        let token = Token { index, generation: place.generation };
        place.value = Some(make(token));
        token
    }

    /// Takes a value out; the token is spent.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn remove(&mut self, token: Token) -> T {
        let Some(place) = self.places.get_mut(token.index as usize) else { unknown(token) };
        if place.generation != token.generation {
            unknown(token);
        }
        let Some(value) = place.value.take() else { unknown(token) };
        place.generation = place.generation.wrapping_add(1);
        self.free.push(token.index);
        value
    }

    /// The value of a token.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn get(&self, token: Token) -> &T {
        match self.try_get(token) {
            Some(value) => value,
            None => unknown(token),
        }
    }

    /// The value of a token, to change it.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn get_mut(&mut self, token: Token) -> &mut T {
        let place = self.places.get_mut(token.index as usize);
        match place.filter(|place| place.generation == token.generation) {
            Some(Place { value: Some(value), .. }) => value,
            _ => unknown(token),
        }
    }

    /// The value of a token, if the token is still good.
    #[must_use]
    pub fn try_get(&self, token: Token) -> Option<&T> {
        let place = self.places.get(token.index as usize)?;
        place.value.as_ref().filter(|_| place.generation == token.generation)
    }

    /// All values with their tokens, by index.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &T)> {
        (0u32..).zip(&self.places).filter_map(|(index, place)| {
            let token = Token { index, generation: place.generation };
            place.value.as_ref().map(|value| (token, value))
        })
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[track_caller]
fn unknown(token: Token) -> ! {
    panic!("token {token:?} is not open: it was closed before, or belongs to another driver")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_back_with_another_generation() {
        let mut table = TokenTable::default();
        let first = table.insert('a');
        assert_eq!(table.remove(first), 'a');
        let second = table.insert('b');
        assert_eq!(first.index, second.index);
        assert_ne!(first, second);
        assert_eq!(table.try_get(first), None);
        assert_eq!(table.get(second), &'b');
        assert_eq!(table.len(), 1);
    }

    #[test]
    #[should_panic(expected = "token #0.0 is not open")]
    fn a_spent_token_is_caught() {
        let mut table = TokenTable::default();
        let token = table.insert(());
        table.remove(token);
        table.remove(token);
    }
}
