//! Hooks of a repository, and the log of what they sent.

use super::Answered;
use super::answer::{Answer, Failure, array};
use super::call::Call;
use crate::simulator::forge::Forge;
use crate::simulator::json::{Object, object};
use crate::simulator::webhooks::{Delivery, Hook, Scope};

/// Lines of a page unless the request says otherwise, and at most.
const USUAL: usize = 30;
const MOST: usize = 100;

impl Forge {
    /// The repository's own hooks; those of Apps aren't among them.
    pub(super) fn list_hooks(&self, id: u64) -> Answered {
        let repository = self.rest_repository(id)?;
        let hooks = self.hooks.iter().filter(|(_, hook)| is_of(hook, id));
        Ok(Answer::ok(array(hooks, |o, (number, hook)| self.hook_members(o, repository, *number, hook))))
    }

    /// What a hook sent in the last three days, newest first.
    pub(super) fn list_deliveries(&self, call: &Call<'_>, id: u64, hook: u64) -> Answered {
        let before: Option<u64> = match call.get("cursor") {
            Some(cursor) => {
                Some(cursor.strip_prefix("v1_").and_then(|line| line.parse().ok()).ok_or(Failure::NotFound)?)
            }
            None => None,
        };
        let per_page = call.get("per_page").and_then(|text| text.parse().ok()).unwrap_or(USUAL).clamp(1, MOST);
        let mut lines = self.log_of(id, hook)?.filter(|line| before.is_none_or(|before| line.line < before));
        let shown: Vec<&Delivery> = lines.by_ref().take(per_page).collect();
        let link = shown.last().filter(|_| lines.next().is_some()).map(|last| {
            let below = format!("repositories/{id}/hooks/{hook}/deliveries");
            format!("<{}/{below}?per_page={per_page}&cursor=v1_{}>; rel=\"next\"", call.base, last.line)
        });
        Ok(Answer::ok(array(shown, |o, line| self.delivery_members(o, line))).link(link))
    }

    /// One delivery with what was sent.
    pub(super) fn show_delivery(&self, id: u64, hook: u64, line: u64) -> Answered {
        let found = self.log_of(id, hook)?.find(|sent| sent.line == line).ok_or(Failure::NotFound)?;
        let mut body = String::new();
        object(&mut body, |o| {
            self.delivery_members(o, found);
            o.text("url", &found.url);
            o.object("request", |o| {
                o.object("headers", |o| {
                    o.text("X-GitHub-Delivery", &found.id);
                    o.text("X-GitHub-Event", found.event);
                    o.text("X-GitHub-Hook-ID", &hook.to_string());
                });
                // The body is JSON already.
                o.plain("payload", String::from_utf8_lossy(&found.body));
            });
            o.object("response", |o| {
                o.object("headers", |_| {});
                o.text("payload", "");
            });
        });
        Ok(Answer::ok(body))
    }

    /// The lines of one hook of the repository, newest first.
    fn log_of(&self, id: u64, hook: u64) -> Result<impl Iterator<Item = &Delivery>, Failure> {
        self.hooks.get(&hook).filter(|found| is_of(found, id)).ok_or(Failure::NotFound)?;
        Ok(self.sent.iter().rev().filter(move |line| line.hook == hook))
    }

    fn delivery_members(&self, o: &mut Object<'_>, line: &Delivery) {
        let code = self.answers.get(&line.id).copied().unwrap_or(0);
        o.plain("id", line.line);
        o.text("guid", &line.id);
        o.time("delivered_at", line.at);
        o.plain("redelivery", line.is_redelivery);
        o.plain("duration", 0.03);
        o.text(
            "status",
            match code {
                0 => "pending",
                200..=299 => "OK",
                _ => "Invalid HTTP Response",
            },
        );
        o.plain("status_code", code);
        o.text("event", line.event);
        match line.action {
            Some(action) => o.text("action", action),
            None => o.null("action"),
        }
        o.null("installation_id");
        o.plain("repository_id", line.repository);
        o.null("throttled_at");
    }
}

fn is_of(hook: &Hook, repository: u64) -> bool {
    hook.scope == Scope::Repository && hook.repository == repository
}
