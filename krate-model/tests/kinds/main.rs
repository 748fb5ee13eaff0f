//! The kinds as a whole: their schemas and definitions, their examples, their phases, and what survives reading and writing.

mod crds;
mod examples;
mod generate;
mod phases;
mod roundtrip;
mod structural;
