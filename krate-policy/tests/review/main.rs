//! The review as its callers see it. Test names begin with the number of what they prove.

mod admission;
mod agents;
mod approvals;
mod chain;
mod differential;
mod feed;
mod grants;
mod laws;
mod lint;
mod naive;
mod policies;
mod protection;
mod reference;
mod shared;
mod stacks;
mod started;
mod steps;
mod uses;
mod who;
mod world;
mod writes;
