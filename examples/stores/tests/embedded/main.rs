//! The embedded store: the suite, and what happens to it when processes die, media fail and files are damaged.

mod differential;
mod disk;
mod faults;
mod kill;
mod story;
mod suite;
