//! Validation against the cases of the spec, rule by rule, and by laws that hold for any document.
#![allow(missing_docs)]

mod cases;
mod laws;
mod protection;
mod rules;
mod support;
