//! Starts that can't succeed: each ends with 2, says which file or field is at fault, and leaves what is there alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use http::StatusCode;
use serde_json::json;

use crate::harness::{Home, Server, object};
use crate::hook::Hook;

fn id(number: usize) -> String {
    format!("{number:08}-cc78-11e3-81ab-4c9367dc0958")
}

async fn refuses(home: &Home, says: &[&str]) {
    let ran = home.fails_to_start().await.ends(2);
    for part in says {
        assert!(ran.err.contains(part), "{part:?} isn't in: {}", ran.err);
    }
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    assert_eq!(ran.out, "");
}

#[tokio::test]
async fn a_configuration_that_is_wrong_is_named_by_file_and_field() {
    let with = |settings| Home::new().with(&settings);
    refuses(&with(json!({"listne": "127.0.0.1:0"})), &["krate.yaml", "listne", "hint: the keys are listen"]).await;
    refuses(&with(json!({"limits": {"maxBodyByte": 5000}})), &["krate.yaml: limits", "maxBodyByte", "maxBodyBytes"])
        .await;
    refuses(&with(json!({"workers": 0})), &["krate.yaml: workers: 0", "at least 1"]).await;
    refuses(&with(json!({"workers": "many"})), &["krate.yaml: workers", "u16"]).await;
    refuses(&with(json!({"listen": "0.0.0.0:0"})), &["krate.yaml: api.tokenRef", "loopback"]).await;
    refuses(&with(json!({"resources": ["more.yaml"]})), &["more.yaml", "No such file"]).await;
    let no_secret = json!({"secrets": {"gh": {"token": {"env": "TEST_NOWHERE"}, "webhook": {"env": "TEST_NOWHERE"}}}});
    refuses(&with(no_secret), &["gh", "TEST_NOWHERE", "hint: "]).await;
    // A secret in the wrong place isn't repeated.
    let pasted = with(json!({"secrets": {"gh": {"token": "canary-pasted-91aa"}}}));
    let ran = pasted.fails_to_start().await.ends(2);
    assert!(ran.err.contains("krate.yaml: secrets.gh.token") && !ran.err.contains("canary"), "{}", ran.err);

    let mut wrong = Home::new();
    wrong.config["objects"][1]["spec"]["apiBaseURL"] = json!("https://api.github.com");
    refuses(&wrong, &["krate.yaml: objects[1]", "ExternalBackendProvider gh", "apiBaseURL"]).await;
}

#[tokio::test]
async fn r3_r12_a_configuration_is_judged_beside_what_the_store_holds() {
    let mut nobodys = Home::new();
    nobodys.config["objects"].as_array_mut().expect("a list").remove(0);
    refuses(&nobodys, &["spec.organizationRef", "names no organization that exists", "(R3)"]).await;

    let mut home = Home::new();
    let binding = |name: &str| {
        let spec = json!({
            "organizationRef": "acme", "providerRef": "gh", "targetRef": {"kind": "Organization", "name": "acme"},
            "externalRef": {"owner": "acme", "repository": "site"}, "interfaces": [{"name": "issueTracking", "mode": "bidirectional"}],
        });
        object("ExternalBackendBinding", name, spec)
    };
    home.config["objects"].as_array_mut().expect("a list").push(binding("one"));
    home.start().await.stop().await;
    // Another name for the same: both would sync it.
    home.config["objects"].as_array_mut().expect("a list").pop();
    home.config["objects"].as_array_mut().expect("a list").push(binding("other"));
    refuses(&home, &["ExternalBackendBinding other", "one binds issueTracking of this external scope already"]).await;
    // What only the store knows is there to be referred to.
    home.config["objects"].as_array_mut().expect("a list").pop();
    home.config["objects"].as_array_mut().expect("a list").remove(0);
    home.start().await.stop().await;
}

#[tokio::test]
async fn a_missing_or_broken_configuration_is_named() {
    let home = Home::new();
    let serve = |file: &str| crate::harness::Ran::of(home.krate(["serve", "--config", file]));
    let ran = serve("nowhere.yaml").await.ends(2);
    assert!(ran.err.contains("nowhere.yaml: No such file"), "{}", ran.err);
    fs::write(home.path("broken.yaml"), "listen: [127.0.0.1:0\nstore: {").expect("written");
    let ran = serve("broken.yaml").await.ends(2);
    assert!(ran.err.contains("broken.yaml") && ran.err.contains("line"), "{}", ran.err);
    fs::write(home.path("twice.yaml"), "store: {path: a}\nstore: {path: b}\n").expect("written");
    let ran = serve("twice.yaml").await.ends(2);
    assert!(ran.err.contains("twice.yaml") && ran.err.contains("store"), "{}", ran.err);
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_named_and_left_alone() {
    let home = Home::new();
    fs::write(home.path("krate.redb"), "somebody's letter").expect("written");
    refuses(&home, &["krate.redb", "no krate store", "hint: "]).await;
    assert_eq!(fs::read(home.path("krate.redb")).expect("it is there"), b"somebody's letter");

    let nowhere = Home::new().with(&json!({"store": {"path": "no/such/folder/krate.redb"}}));
    refuses(&nowhere, &["no/such/folder", "doesn't exist; create it first"]).await;

    let damaged = Home::new();
    let server = damaged.start().await;
    Hook::issue(&id(1), 1, "Crash").post(&server).await;
    server.settled_deliveries(1).await;
    server.stop().await;
    let file = damaged.path("krate.redb");
    let mut bytes = fs::read(&file).expect("the store");
    // Every page but the first, which says that it is a store.
    bytes[4096..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(&file, &bytes).expect("written");
    refuses(&damaged, &["krate.redb", "damaged", "restore the file from a backup"]).await;
    assert_eq!(fs::read(&file).expect("the store"), bytes);
}

#[tokio::test]
async fn s47_a_store_that_is_no_place_is_named_without_what_may_be_its_password() {
    const CANARY: &str = "canary-store-password-4d2a";
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("it is bound").port();
    drop(taken);
    let nobody = format!("postgres://krate@127.0.0.1:{port}/forge");
    let password = format!("postgres://krate:{CANARY}@127.0.0.1:{port}/forge");
    for (store, says) in [
        (json!({}), ["krate.yaml: store: names no place", "{urlRef: {name, key}}"]),
        (json!({"path": "a", "url": "file:b"}), ["krate.yaml: store: names more than one place", "hint: "]),
        (json!({"uri": "file:b"}), ["krate.yaml: store", "unknown field `uri`"]),
        (json!(password), ["krate.yaml: store: isn't as expected", "postgres://USER@HOST:PORT/DATABASE"]),
        (json!({"url": [password]}), ["krate.yaml: store.url: isn't as expected", "hint: "]),
        (json!({"url": password}), ["krate.yaml: store.url: holds a password", "store.urlRef"]),
        (json!({"url": format!("{nobody}?password={CANARY}")}), ["store.url: holds a password", "store.urlRef"]),
        (json!({"url": "mysql://krate@127.0.0.1/forge"}), ["mysql: isn't postgres:", "store.url names the store"]),
        (json!({"url": nobody}), ["/forge: no answer; check host and port", "store.url names the store"]),
        (json!({"urlRef": {"name": "store", "key": "none"}}), ["store.urlRef: secrets.store.none", "hint: "]),
        (json!({"urlRef": {"name": "store", "key": "url"}}), ["/forge: no answer", "store.urlRef names the store"]),
        (json!({"urlRef": {"name": "store", "key": "bad"}}), ["the store's URL: ", "store.urlRef names the store"]),
    ] {
        let mut home = Home::new().with(&json!({"store": store}));
        home.config["secrets"]["store"] = json!({"url": {"env": "TEST_STORE_URL"}, "bad": {"env": "TEST_STORE_BAD"}});
        home.env = vec![
            ("TEST_STORE_URL", password.clone()),
            ("TEST_STORE_BAD", format!("postgres://krate:{CANARY}@[nowhere/forge")),
        ];
        home.args.extend(["--log-filter".into(), "debug".into()]);
        let ran = home.fails_to_start().await.ends(2);
        for part in says {
            assert!(ran.err.contains(part), "{part:?} isn't in: {}", ran.err);
        }
        assert!(!ran.err.contains(CANARY) && !ran.out.contains(CANARY), "{store}: {}", ran.err);
    }
}

#[tokio::test]
async fn a_file_can_be_named_by_url() {
    let home = Home::new().with(&json!({"store": {"url": "file:by-url.redb"}}));
    home.start().await.stop().await;
    assert!(home.path("by-url.redb").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_without_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new().with(&json!({"store": {"path": "locked/krate.redb"}}));
    let folder = home.path("locked");
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).expect("its owner");
    if fs::write(folder.join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write everywhere (root), so nothing is without permission");
        return;
    }
    refuses(&home, &["locked/krate.redb", "not permitted"]).await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let home = Home::new().with(&json!({"listen": address}));
    refuses(&home, &["krate.yaml: listen", &address, "hint: another process listens there"]).await;
}

#[tokio::test]
async fn a_second_process_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let server = home.start().await;
    Hook::issue(&id(1), 1, "Crash").post(&server).await;
    let first = fs::read_to_string(home.path("krate.redb.lock")).expect("the lock");
    refuses(&home, &["krate.redb", &format!("another process ({})", first.trim()), "stop it"]).await;
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    assert_eq!(Hook::issue(&id(2), 2, "Slow").post(&server).await.status, StatusCode::ACCEPTED);
    server.settled_deliveries(2).await;
    server.stop().await;
}

/// A small disk.
struct SmallDisk<'h>(&'h Path);

impl<'h> SmallDisk<'h> {
    fn mounted_at(folder: &'h Path) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // A disk that stays mounted is seen by the test's owner; nothing else can be done here.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// Posts until the disk is full; the names of those that were acknowledged.
async fn fill(server: &Server, from: usize) -> Vec<String> {
    let mut taken = Vec::new();
    let filling = "x".repeat(200_000);
    for number in from..from + 200 {
        // What can't be decoded is kept whole until somebody decides about it.
        let hook = Hook::new("issues", &id(number), format!("{{\"action\": \"{filling}\"}}"));
        let answer = hook.post(server).await;
        if answer.status == StatusCode::ACCEPTED {
            taken.push(answer.json()["delivery"].as_str().expect("a name").to_owned());
            continue;
        }
        assert_eq!((answer.status, answer.error().0.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "Unavailable"));
        assert!(answer.headers.contains_key("retry-after"));
        return taken;
    }
    panic!("the disk is never full");
}

#[tokio::test]
async fn s10_a_full_disk_acknowledges_nothing_and_loses_nothing() {
    let home = Home::new().with(&json!({"store": {"path": "disk/krate.redb"}}));
    let folder = home.path("disk");
    let Some(_disk) = SmallDisk::mounted_at(&folder) else {
        eprintln!("skipped: no small disk can be mounted here; the store's own tests fill a disk in memory");
        return;
    };
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![0; 3 * 1024 * 1024]).expect("it fits");
    let server = home.start().await;
    let mut taken = fill(&server, 1).await;
    assert_eq!(server.get("/healthz").await.status, StatusCode::OK);
    fs::remove_file(&ballast).expect("it is there");
    // There is room again: the sender's next try is taken, without a restart.
    let late = Hook::issue(&id(9999), 1, "After the flood").post(&server).await;
    assert_eq!(late.status, StatusCode::ACCEPTED, "{late:?}");
    taken.push(late.json()["delivery"].as_str().expect("a name").to_owned());
    server.kill().await;

    let server = home.start().await;
    let kept = server.list("ExternalWebhookDelivery").await;
    for name in &taken {
        assert!(kept.iter().any(|record| record["metadata"]["name"] == **name), "{name} was acknowledged and is lost");
    }
    server.stop().await;

    fs::write(&ballast, vec![0; 3 * 1024 * 1024]).ok();
    fs::remove_file(home.path("disk/krate.redb")).expect("it is there");
    fs::write(folder.join("more"), vec![0; 8 * 1024 * 1024]).expect_err("the disk is small");
    refuses(&home, &["disk/krate.redb", "no space left on the device"]).await;
}
