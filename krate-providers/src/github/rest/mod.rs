//! GitHub's REST API: calls to requests, answers to outcomes.
//!
//! | decision | why |
//! | --- | --- |
//! | A cursor holds only the paging parameters of `Link: rel="next"`, never an address | no answer can lead a request away from the API base |
//! | `removeLabels` takes one label a call | GitHub removes one label a request; several are written with `updateIssue` |
//! | `updatePullRequest` goes to the address when it changes labels, assignees or milestone | a pull request's own address doesn't take them |
//! | `listPullRequests` with `since` reads every page and leaves out what is older | GitHub can't filter pull requests by time |

mod decode;
mod encode;
mod failure;
mod page;

pub(super) use decode::decode;
pub(super) use encode::encode;
