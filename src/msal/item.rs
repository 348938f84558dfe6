//! An item of a section: what makes it the same item as another, and when it was made.

#![forbid(unsafe_code)]

use std::cmp::Ordering;

use serde_json::value::RawValue;

use super::text::{self, Members, decoded, seconds};

/// The sections that are known, by the name that they have in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AccessToken,
    RefreshToken,
    IdToken,
    Account,
    AppMetadata,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] =
        [Kind::AccessToken, Kind::RefreshToken, Kind::IdToken, Kind::Account, Kind::AppMetadata];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::AccessToken => "AccessToken",
            Kind::RefreshToken => "RefreshToken",
            Kind::IdToken => "IdToken",
            Kind::Account => "Account",
            Kind::AppMetadata => "AppMetadata",
        }
    }

    pub(super) fn of(name: &RawValue) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| text::is_named(name, kind.name()))
    }
}

/// An item.
pub(super) struct Item<'a> {
    pub kind: Kind,
    /// Its key in the section. The libraries make it in different ways, and MSAL.NET makes it anew from the members.
    pub key: &'a RawValue,
    pub raw: &'a RawValue,
    members: Members<'a>,
    /// The same for what two libraries take for the same item.
    pub identity: String,
    /// The same for access tokens that differ in their scopes alone, and so may not share one.
    pub group: String,
    /// Of whom it is: an account in one environment. Empty for an item of the application itself.
    pub owner: String,
    /// For whom the answer of the provider was that brought it, from the widest circle to the narrowest: the owner, its
    /// client, and that in one tenant. What says nothing of its own time is as old as the newest access token there.
    pub circles: Vec<String>,
}

/// Stands in no identifier.
const BETWEEN: &str = "\u{1f}";

impl<'a> Item<'a> {
    /// `None` when `raw` is no object.
    pub(super) fn read(kind: Kind, key: &'a RawValue, raw: &'a RawValue) -> Option<Item<'a>> {
        let members = text::members(raw)?;
        let said = |name: &str| {
            text::find(&members, name).map(|raw| decoded(raw).to_lowercase()).unwrap_or_default()
        };
        let [home, environment, client, realm] =
            ["home_account_id", "environment", "client_id", "realm"].map(said);
        let is_whole = match kind {
            Kind::Account => !home.is_empty() && !environment.is_empty(),
            _ => !client.is_empty() && !environment.is_empty(),
        };
        let own: Vec<String> = match kind {
            // A name that was not made of the members says what nothing else does.
            _ if !is_whole => vec!["key".to_owned(), decoded(key).into_owned()],
            Kind::AccessToken => {
                let scheme = Some(said("token_type")).filter(|scheme| !scheme.is_empty());
                let scheme = scheme.unwrap_or_else(|| "bearer".to_owned());
                let others = ["key_id", "kid", "user_assertion_hash", "ext_cache_key", "ext"].map(said);
                [vec![realm.clone(), scheme], others.to_vec()].concat()
            }
            Kind::RefreshToken => vec![said("family_id"), said("user_assertion_hash")],
            Kind::IdToken | Kind::Account => vec![realm.clone()],
            Kind::AppMetadata => Vec::new(),
        };
        let everybody = [&home[..], &environment].join(BETWEEN);
        let client = [&everybody[..], &client].join(BETWEEN);
        let identity = if kind == Kind::Account { everybody.clone() } else { client.clone() };
        let [in_tenant, client_in_tenant] = [("tenant", &everybody), ("client", &client)]
            .map(|(of, whose)| [of, whose, &realm].join(BETWEEN));
        let circles = match kind {
            Kind::AccessToken => vec![everybody.clone(), in_tenant, client, client_in_tenant],
            Kind::Account => vec![everybody.clone(), in_tenant],
            Kind::IdToken => vec![everybody.clone(), client, client_in_tenant],
            // One of a family of clients serves them all.
            Kind::RefreshToken if !said("family_id").is_empty() => vec![everybody.clone()],
            Kind::RefreshToken | Kind::AppMetadata => vec![everybody.clone(), client],
        };
        let owner = if home.is_empty() { String::new() } else { everybody };
        let group = [vec![kind.name().to_owned(), identity], own].concat().join(BETWEEN);
        let mut item = Item { kind, key, raw, members, identity: group.clone(), group, owner, circles };
        if kind == Kind::AccessToken {
            item.identity = [vec![item.group.clone()], item.scopes()].concat().join(BETWEEN);
        }
        Some(item)
    }

    /// The scopes of an access token, in lower case. What every sign-in asks for beside says nothing.
    pub(super) fn scopes(&self) -> Vec<String> {
        let target = text::find(&self.members, "target").map(decoded).unwrap_or_default().to_lowercase();
        let of_everybody = ["openid", "profile", "offline_access"];
        let mut scopes: Vec<_> = target.split_whitespace().map(str::to_owned).collect();
        if scopes.iter().any(|scope| !of_everybody.contains(&&scope[..])) {
            scopes.retain(|scope| !of_everybody.contains(&&scope[..]));
        }
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    fn member_seconds(&self, name: &str) -> i64 {
        seconds(text::find(&self.members, name))
    }

    /// When it was written, in Unix seconds, as far as it says so itself; 0 when it does not.
    pub(super) fn written_at(&self) -> i64 {
        match self.kind {
            Kind::AccessToken => self.member_seconds("cached_at"),
            Kind::RefreshToken => self.member_seconds("last_modification_time"),
            Kind::IdToken | Kind::Account | Kind::AppMetadata => 0,
        }
    }

    /// When an access token ends, in Unix seconds; 0 when it does not say.
    pub(super) fn expires_on(&self) -> i64 {
        self.member_seconds("expires_on")
    }

    /// Which of two access tokens is newer.
    pub(super) fn age(&self, other: &Item<'_>) -> Ordering {
        let times = |item: &Item<'_>| (item.written_at(), item.expires_on());
        times(self).cmp(&times(other)).then_with(|| text::order(self.raw, other.raw))
    }

    /// Whether both come from the same answer of the provider, whatever else a library has noted in them.
    pub(super) fn is_same_write(&self, other: &Item<'_>) -> bool {
        match (text::find(&self.members, "secret"), text::find(&other.members, "secret")) {
            (Some(one), Some(another)) if self.kind != Kind::Account => text::is_same(one, another),
            _ => text::are_same(&self.members, &other.members),
        }
    }
}
