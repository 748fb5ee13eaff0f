//! Which agent stacks name what isn't there: their statuses, kept in step with the store (R17).

use std::collections::BTreeSet;
use std::sync::Arc;

use krate_model::kinds::agents::AgentStack;
use krate_model::kinds::registry::StorageClass;
use krate_model::kinds::shared::Time;
use krate_model::store::{Filter, Key, Query, Revision, Store};
use krate_model::{Kind, Resource};
use krate_policy::feed;
use krate_policy::snapshot::{Item, Snapshot};
use krate_policy::stacks::{judged, missing, named};
use krate_sync::records::{self, Changes};
use tokio::task::JoinHandle;

use super::App;
use super::ports::now;
use super::worker;

/// Looks at the stacks whenever something is written that one may name.
pub(crate) fn follow(app: &Arc<App>) -> JoinHandle<()> {
    let app = Arc::clone(app);
    let filter = Filter::of(Kind::ALL.iter().copied().filter(|kind| kind.info().class == StorageClass::Config));
    tokio::spawn(async move {
        let mut snapshot = Snapshot::default();
        loop {
            let read_at = app.store.revision().await.unwrap_or(Revision::ZERO);
            if let Err(error) = settle(app.store.as_ref(), &mut snapshot, now()).await {
                tracing::warn!("the agent stacks can't be looked at: {error}");
            }
            worker::changed(app.store.as_ref(), read_at, &filter).await;
        }
    })
}

/// Writes the statuses that differ. `snapshot` is brought up to date where there is a stack at all.
async fn settle(
    store: &dyn Store,
    snapshot: &mut Snapshot,
    now: Time,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stacks = records::list::<AgentStack>(store, Query::new(AgentStack::KIND)).await?;
    if stacks.is_empty() {
        return Ok(());
    }
    *snapshot = feed::catch_up(store, std::mem::take(snapshot)).await?;
    for mut stack in stacks {
        let mut there = BTreeSet::new();
        for reference in named(&stack.object).into_iter().filter(|reference| reference.organization.is_none()) {
            let Ok(kind) = reference.kind.parse::<Kind>() else { continue };
            let key = Key::new(kind, stack.object.namespace(), reference.name.as_str());
            if !Item::is_kept(kind) && store.get(&key).await?.is_some() {
                there.insert((kind, reference.name));
            }
        }
        let is_there = |kind: Kind, name: &str| there.contains(&(kind, name.to_owned()));
        let next = judged(&stack.object, &missing(&stack.object, snapshot, is_there, now), now);
        if next == stack.object {
            continue;
        }
        *stack.change() = next;
        let mut changes = Changes::at(now);
        changes.put(&stack)?;
        match changes.commit(store).await {
            // Whoever changed it has woken the next look.
            Err(error) if !error.is_conflict() => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use krate_model::condition::condition;
    use krate_model::store::{ChangeSet, Expect, MemoryStore};
    use serde_json::{Value, json};

    use super::*;

    async fn put(store: &MemoryStore, kind: Kind, name: &str, spec: Value) {
        let metadata = json!({"name": name, "namespace": "krate-org-a", "uid": name, "generation": 1});
        let document =
            json!({"apiVersion": krate_model::API_VERSION, "kind": kind, "metadata": metadata, "spec": spec});
        let key = Key::new(kind, "krate-org-a", name);
        let change = ChangeSet::new().put(key, Expect::Any, document.to_string().into_bytes(), []);
        store.commit(change).await.expect("written");
    }

    async fn shown(store: &MemoryStore) -> (String, Vec<String>) {
        let stack = records::get::<AgentStack>(store, "krate-org-a", "repair").await.expect("readable").expect("there");
        let status = stack.object.status.unwrap_or_default();
        let ready = condition(&status.conditions, "Ready").map_or("", |ready| ready.message.as_str()).to_owned();
        let types = status.conditions.iter().map(|known| known.type_.clone());
        (format!("{} {ready}", status.phase.as_str()), types.collect())
    }

    #[tokio::test]
    async fn r17_the_status_of_a_stack_follows_what_it_names() {
        let store = MemoryStore::new();
        let mut snapshot = Snapshot::default();
        settle(&store, &mut snapshot, now()).await.expect("nothing to do");
        let spec = json!({
            "organizationRef": "a", "baseAgent": "codex", "adapter": "local",
            "runtimeIdentity": {"serviceAccountRef": "repair"},
        });
        put(&store, Kind::AgentStack, "repair", spec).await;
        settle(&store, &mut snapshot, now()).await.expect("written");
        let gone = "Blocked spec.adapter: AgentAdapter local isn't there; and 1 more";
        let types = ["ReferenceResolved.AgentAdapter.local", "ReferenceResolved.AgentServiceAccount.repair", "Ready"];
        assert_eq!(shown(&store).await, (gone.to_owned(), types.map(str::to_owned).to_vec()));
        let before = store.revision().await.expect("readable");
        settle(&store, &mut snapshot, now()).await.expect("looked at");
        assert_eq!(store.revision().await.expect("readable"), before, "nothing new is nothing to write");

        let spec = json!({"organizationRef": "a", "namespace": "krate-org-a", "serviceAccountName": "repair"});
        put(&store, Kind::AgentServiceAccount, "repair", spec).await;
        settle(&store, &mut snapshot, now()).await.expect("written");
        assert_eq!(shown(&store).await.0, "Blocked spec.adapter: AgentAdapter local isn't there");
        put(&store, Kind::AgentAdapter, "local", json!({"organizationRef": "a"})).await;
        settle(&store, &mut snapshot, now()).await.expect("written");
        assert_eq!(shown(&store).await, ("Pending ".to_owned(), vec!["Ready".to_owned()]));
        let key = Key::new(Kind::AgentServiceAccount, "krate-org-a", "repair");
        store.commit(ChangeSet::new().delete(key, Expect::Any)).await.expect("deleted");
        settle(&store, &mut snapshot, now()).await.expect("written");
        let gone = "Blocked spec.runtimeIdentity.serviceAccountRef: AgentServiceAccount repair isn't there";
        assert_eq!(shown(&store).await.0, gone);
    }
}
