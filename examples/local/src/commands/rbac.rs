//! `krate rbac`: krate's roles as Kubernetes has them (P39), all or those asked for.

use krate_policy::native::{NativeRole, role};

use crate::error::{Answer, Error};
use crate::output::{self, Format, Output, table, yaml};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Roles by name, such as `krate-maintainer`; without any, all
    #[arg(value_name = "ROLE")]
    roles: Vec<String>,
    /// The organization's namespace
    #[arg(long, value_name = "NAMESPACE")]
    namespace: String,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Answer, Error> {
    let named: Vec<NativeRole> = if args.roles.is_empty() {
        NativeRole::ALL.to_vec()
    } else {
        let of = |name: &String| name.parse::<NativeRole>().map_err(Error::new);
        args.roles.iter().map(of).collect::<Result<_, _>>()?
    };
    let roles: Vec<_> = named.iter().map(|native| role(native, &args.namespace)).collect();
    match output.format_or(Format::Yaml) {
        // One document each, as kubectl takes them.
        Format::Yaml => {
            for role in &roles {
                output::text(&format!("---\n{}", yaml(role)?))?;
            }
        }
        Format::Json => output::line(&output::json(&roles)?)?,
        Format::Table => {
            let rows = named.iter().zip(&roles).map(|(native, role)| {
                let rules = role.pointer("/rules").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
                [native.to_string(), rules.to_string()]
            });
            output::line(&table(["Role", "Rules"], rows))?;
        }
    }
    Ok(Answer::Yes)
}
