//! Every stand-in and each of its behaviours, with a real client, in simulated rooms: each run twice, and nothing left.

mod catalogue;
mod feed;
mod http;
mod line;
mod postgres;
mod redis;
mod resp;
mod room;
mod rules;
mod web;
