//! MSAL documents as the tests make them: what two libraries write after an answer of the provider.

#![allow(dead_code, reason = "not every test uses all of it")]

use serde_json::{Map, Value, json};

/// Which library writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// It gives no time to a refresh token, and gets a new one with each answer.
    DotNet,
    /// It notes when it wrote a refresh token, and puts scopes at the end of its key.
    Python,
}

impl Library {
    pub fn environment(self) -> &'static str {
        match self {
            Library::DotNet => "login.windows.net",
            Library::Python => "login.microsoftonline.com",
        }
    }

    /// The bytes that it makes of a document.
    pub fn serialise(self, document: &Value) -> Vec<u8> {
        match self {
            Library::DotNet => serde_json::to_vec(document).expect("JSON"),
            Library::Python => serde_json::to_vec_pretty(document).expect("JSON"),
        }
    }
}

/// An answer of the provider, at `at` in Unix seconds.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    pub account: &'a str,
    pub client: &'a str,
    pub realm: &'a str,
    pub scopes: &'a str,
    pub at: i64,
    pub rotates: bool,
}

/// A section, which is made where it is missing.
pub fn section<'a>(document: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    let section = document.as_object_mut().expect("an object").entry(name).or_insert_with(|| json!({}));
    section.as_object_mut().expect("a section")
}

fn key(parts: &[&str]) -> String {
    parts.join("-").to_lowercase()
}

/// Whether two lists of scopes share one.
pub fn overlap(one: &str, other: &str) -> bool {
    one.split(' ').any(|scope| other.split(' ').any(|another| scope == another))
}

/// What the library makes of `document` when it saves `answer`.
pub fn save(document: &mut Value, library: Library, answer: &Answer<'_>) {
    let Answer { account, client, realm, scopes, at, rotates } = *answer;
    let environment = library.environment();
    let secret = |what: &str| format!("made-up-{what}-{at}");
    let of_client = json!({ "home_account_id": account, "environment": environment, "client_id": client });
    let with = |more: Value| {
        let mut item = of_client.as_object().expect("an object").clone();
        item.extend(more.as_object().expect("an object").clone());
        Value::Object(item)
    };
    let tokens = section(document, "AccessToken");
    tokens.retain(|_, token| {
        let same = ["home_account_id", "client_id"].map(|name| token[name] == of_client[name]);
        let is_near = same == [true, true] && token["realm"] == realm;
        !(is_near && overlap(token["target"].as_str().expect("a target"), scopes))
    });
    tokens.insert(
        key(&[account, environment, "accesstoken", client, realm, scopes]),
        with(json!({
            "credential_type": "AccessToken", "secret": secret("access-token"), "realm": realm, "target": scopes,
            "cached_at": at.to_string(), "expires_on": (at + 3600).to_string(),
            "extended_expires_on": (at + 7200).to_string(),
        })),
    );
    if rotates || library == Library::DotNet {
        let mut token = with(json!({ "credential_type": "RefreshToken", "secret": secret("refresh-token") }));
        if library == Library::Python {
            token["last_modification_time"] = at.to_string().into();
        }
        section(document, "RefreshToken")
            .insert(key(&[account, environment, "refreshtoken", client, "", ""]), token);
    }
    section(document, "IdToken").insert(
        key(&[account, environment, "idtoken", client, realm, ""]),
        with(json!({ "credential_type": "IdToken", "secret": secret("id-token"), "realm": realm })),
    );
    section(document, "Account").insert(
        key(&[account, environment, realm]),
        json!({
            "home_account_id": account, "environment": environment, "realm": realm, "username": account,
            "authority_type": "MSSTS", "local_account_id": account,
        }),
    );
    section(document, "AppMetadata").insert(
        key(&["appmetadata", environment, client]),
        json!({ "environment": environment, "client_id": client }),
    );
}

/// What a sign-out leaves.
pub fn sign_out(document: &mut Value, account: &str) {
    for name in ["AccessToken", "RefreshToken", "IdToken", "Account"] {
        section(document, name).retain(|_, item| item["home_account_id"] != account);
    }
}

/// A document without items.
pub fn empty() -> Value {
    json!({ "AccessToken": {}, "RefreshToken": {}, "IdToken": {}, "Account": {}, "AppMetadata": {} })
}
