//! Labels of a repository, and of one issue.

use http::StatusCode;

use super::Answered;
use super::answer::{Answer, Failure, array};
use super::call::Call;
use crate::simulator::effects::Refusal;
use crate::simulator::forge::Forge;
use crate::simulator::json::object;
use crate::simulator::model::{Label, fold};

impl Forge {
    /// Labels of the repository, by name.
    pub(super) fn list_labels(&self, call: &Call<'_>, id: u64) -> Answered {
        let repository = self.rest_repository(id)?;
        let mut labels: Vec<&Label> = repository.labels.values().collect();
        labels.sort_by_key(|label| fold(&label.name));
        let (labels, link) = call.page(labels, id, "labels");
        let shapes = self.shapes();
        Ok(Answer::ok(array(labels, |o, label| shapes.label(o, repository, label))).link(link))
    }

    pub(super) fn show_label(&self, id: u64, name: &str) -> Answered {
        let repository = self.rest_repository(id)?;
        let label = repository.label(name).ok_or(Failure::NotFound)?;
        let mut body = String::new();
        object(&mut body, |o| self.shapes().label(o, repository, label));
        Ok(Answer::ok(body))
    }

    pub(super) fn create_label(&mut self, call: &Call<'_>, id: u64) -> Answered {
        let fields = call.fields()?;
        let name = fields.text("name")?.unwrap_or_default();
        let color = fields.text("color")?.unwrap_or_else(|| "ededed".to_owned());
        let (mut actor, full_name) = self.actor(call, id)?;
        let label = actor.create_label(&full_name, &name, &color)?;
        if let Some(description) = fields.text("description")?
            && let Some(label) = self.world.repositories.get_mut(&id).and_then(|found| found.labels.get_mut(&label))
        {
            label.description = Some(description);
        }
        Ok(Answer { status: StatusCode::CREATED, ..self.show_label(id, &name)? })
    }

    /// Labels of one issue or pull request.
    pub(super) fn list_issue_labels(&self, call: &Call<'_>, id: u64, number: u64) -> Answered {
        let repository = self.rest_repository(id)?;
        let issue = repository.issue(number).ok_or(Failure::NotFound)?;
        let labels = issue.labels.iter().filter_map(|label| repository.labels.get(label)).collect();
        let (labels, link) = call.page(labels, id, &format!("issues/{number}/labels"));
        let shapes = self.shapes();
        Ok(Answer::ok(array(labels, |o, label| shapes.label(o, repository, label))).link(link))
    }

    pub(super) fn add_labels(&mut self, call: &Call<'_>, id: u64, number: u64) -> Answered {
        let names = call.fields()?.names("labels")?.unwrap_or_default();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut actor, full_name) = self.actor(call, id)?;
        actor.label(&full_name, number, &names)?;
        self.list_issue_labels(call, id, number)
    }

    /// Answers with the labels that are left.
    pub(super) fn remove_label(&mut self, call: &Call<'_>, id: u64, number: u64, name: &str) -> Answered {
        let (mut actor, full_name) = self.actor(call, id)?;
        match actor.unlabel(&full_name, number, name) {
            Ok(()) => self.list_issue_labels(call, id, number),
            Err(Refusal::NotFound { what: "label" }) => Err(Failure::LabelMissing),
            Err(refusal) => Err(refusal.into()),
        }
    }
}
