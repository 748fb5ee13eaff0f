//! Reads: each is one statement, and so sees one state.

use std::ops::Bound;

use krate_model::store::{
    Action, Changes, Collection, Filter, Key, MAX_BATCH, MAX_PAGE_BYTES, MAX_PAGE_ITEMS, Page, PageBuilder, Position,
    Query, Revision, Select, Stored, Touched,
};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder, Row};

use super::batch::column;
use super::error::Fault;

pub(super) async fn get(pool: &PgPool, key: &Key) -> Result<Option<Stored>, Fault> {
    let row =
        sqlx::query("SELECT revision, body FROM krate_object WHERE collection = $1 AND namespace = $2 AND name = $3")
            .bind(key.collection.name())
            .bind(key.namespace.as_bytes())
            .bind(key.name.as_bytes())
            .fetch_optional(pool)
            .await?;
    let Some(row) = row else { return Ok(None) };
    let body: &[u8] = row.try_get(1)?;
    Ok(Some(Stored { key: key.clone(), revision: revision_of(&row, 0)?, body: body.into() }))
}

pub(super) async fn revision(pool: &PgPool) -> Result<Revision, Fault> {
    let row = sqlx::query("SELECT revision FROM krate_state").fetch_one(pool).await?;
    revision_of(&row, 0)
}

/// Rows in the order of the query, beside the revision of the state that they are of. Only those that fit the page come with their bodies, so that no
/// page costs more than its size; one more row tells that there is more.
pub(super) async fn list(pool: &PgPool, query: &Query) -> Result<Page, Fault> {
    let limit = number(query.limit.clamp(1, MAX_PAGE_ITEMS));
    let order = match query.select {
        Select::All => "namespace, name",
        Select::Index { .. } => "value, namespace, name",
    };
    let mut sql =
        QueryBuilder::new("SELECT s.revision AS at, p.value, p.namespace, p.name, p.revision, CASE WHEN p.place <= ");
    sql.push_bind(limit).push(" AND p.before < ").push_bind(number(MAX_PAGE_BYTES)).push(
        " THEN p.body END AS body
         FROM krate_state s LEFT JOIN LATERAL (
             SELECT r.*, row_number() OVER w AS place,
                    coalesce(sum(octet_length(body)) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
             FROM (",
    );
    push_rows(&mut sql, query);
    sql.push(format_args!(" ORDER BY {order} LIMIT ")).push_bind(limit.saturating_add(1));
    sql.push(format_args!(") r WINDOW w AS (ORDER BY {order})) p ON true ORDER BY {order}"));
    let found = sql.build().fetch_all(pool).await?;
    let Some(first) = found.first() else { return Err(Fault::Damaged("krate_state holds no row".into())) };
    let at = revision_of(first, 0)?;
    let mut page = PageBuilder::new(query);
    for row in &found {
        let Some(name) = row.try_get::<Option<&[u8]>, _>(3)? else { continue };
        let (value, namespace) = (text(row.try_get(1)?)?, text(row.try_get(2)?)?);
        let key = Key::new(query.collection, namespace, text(name)?);
        let take = || {
            let body: Option<&[u8]> = row.try_get(5)?;
            let body = body.ok_or_else(|| Fault::Damaged(format!("an index names {key}, which isn't there")))?;
            Ok::<_, Fault>(Stored { key: key.clone(), revision: revision_of(row, 4)?, body: body.into() })
        };
        if !page.offer(value, namespace, take)? {
            break;
        }
    }
    Ok(page.finish(at))
}

/// The rows that the query selects, as value, namespace, name, revision and body.
fn push_rows(sql: &mut QueryBuilder<Postgres>, query: &Query) {
    let (at, from) = match query.start() {
        Bound::Excluded(at) => (at, " > ("),
        Bound::Included(at) => (at, " >= ("),
        Bound::Unbounded => (Position { value: "".into(), namespace: "".into(), name: "".into() }, " >= ("),
    };
    let bytes = |text: &str| text.as_bytes().to_vec();
    match &query.select {
        Select::All => {
            sql.push(
                "SELECT ''::bytea AS value, namespace, name, revision, body FROM krate_object WHERE collection = ",
            );
            sql.push_bind(query.collection.name()).push(" AND (namespace, name)").push(from);
        }
        Select::Index { index, range: (_, end) } => {
            // A row without its object shows as such.
            sql.push(
                "SELECT e.value, namespace, name, o.revision, o.body FROM krate_entry e
                 LEFT JOIN krate_object o USING (collection, namespace, name) WHERE collection = ",
            );
            sql.push_bind(query.collection.name()).push(" AND e.entry_index = ").push_bind(index.name());
            match end {
                Bound::Included(end) => _ = sql.push(" AND e.value <= ").push_bind(bytes(end)),
                Bound::Excluded(end) => _ = sql.push(" AND e.value < ").push_bind(bytes(end)),
                Bound::Unbounded => {}
            }
            sql.push(" AND (e.value, namespace, name)").push(from).push_bind(bytes(&at.value)).push(", ");
        }
    }
    sql.push_bind(bytes(&at.namespace)).push(", ").push_bind(bytes(&at.name)).push(")");
    if let Some(namespace) = &query.namespace {
        sql.push(" AND namespace = ").push_bind(bytes(namespace));
    }
}

/// What a look into the history comes to.
pub(super) enum Look {
    Found(Changes),
    /// Nothing that the filter wants, up to here.
    Nothing(Revision),
    Expired {
        oldest: Revision,
        newest: Revision,
    },
}

pub(super) async fn changes(pool: &PgPool, after: Revision, filter: &Filter) -> Result<Look, Fault> {
    const WANTED: &str =
        "revision > $1 AND ($2::text[] IS NULL OR collection = ANY ($2)) AND ($3::bytea IS NULL OR namespace = $3)";
    let collections: Vec<&str> = filter.collections.iter().map(|collection| collection.name()).collect();
    // A batch ends with the commit that fills it.
    let found = sqlx::query(AssertSqlSafe(format!(
        "SELECT s.revision AS newest, s.forgotten, s.cut, h.revision, h.action, h.collection, h.namespace, h.name
         FROM (SELECT revision, forgotten,
                      (SELECT revision FROM krate_history WHERE {WANTED} ORDER BY revision, ordinal OFFSET $4 LIMIT 1) AS cut
               FROM krate_state) s
         LEFT JOIN LATERAL (
             SELECT * FROM krate_history WHERE {WANTED} AND revision <= coalesce(s.cut, s.revision)
         ) h ON true ORDER BY h.revision, h.ordinal"
    )))
    .bind(column(after))
    .bind((!collections.is_empty()).then_some(collections))
    .bind(filter.namespace.as_ref().map(|namespace| namespace.as_bytes()))
    .bind(number(MAX_BATCH.saturating_sub(1)))
    .fetch_all(pool)
    .await?;
    let Some(first) = found.first() else { return Err(Fault::Damaged("krate_state holds no row".into())) };
    let (newest, oldest) = (revision_of(first, 0)?, revision_of(first, 1)?);
    if after < oldest || after > newest {
        return Ok(Look::Expired { oldest, newest });
    }
    let reached = match first.try_get::<Option<i64>, _>(2)? {
        Some(_) => revision_of(first, 2)?,
        None => newest,
    };
    let mut touched = Vec::new();
    for row in &found {
        let Some(collection) = row.try_get::<Option<&str>, _>(5)? else { continue };
        // A kind that only a newer version knows is nothing that a watch of this one can ask for.
        let Some(collection) = Collection::from_name(collection) else { continue };
        let key = Key::new(collection, text(row.try_get(6)?)?, text(row.try_get(7)?)?);
        touched.push(Touched { revision: revision_of(row, 3)?, key, action: action_of(row.try_get(4)?)? });
    }
    Ok(if touched.is_empty() { Look::Nothing(reached) } else { Look::Found(Changes { touched, revision: reached }) })
}

pub(super) fn revision_of(row: &PgRow, column: usize) -> Result<Revision, Fault> {
    let found: i64 = row.try_get(column)?;
    u64::try_from(found).map(Revision).map_err(|_| Fault::Damaged(format!("a revision is {found}")))
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Damaged("a name is no UTF-8".into()))
}

pub(super) fn number(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

pub(super) fn action_code(action: Action) -> i16 {
    match action {
        Action::Created => 1,
        Action::Updated => 2,
        Action::Deleted => 3,
    }
}

fn action_of(code: i16) -> Result<Action, Fault> {
    match code {
        1 => Ok(Action::Created),
        2 => Ok(Action::Updated),
        3 => Ok(Action::Deleted),
        _ => Err(Fault::Damaged(format!("history has action {code}"))),
    }
}
