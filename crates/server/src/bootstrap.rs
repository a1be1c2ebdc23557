//! The first start: an admin, the admin's organisation and a key, without a browser.

use std::path::Path;

use fs_err as fs;
use store::Store;
use types::api_key::{ApiKey, Permission};
use types::organization::{Organization, PERSONAL};
use types::user::{OPERATOR, User};
use types::{ApiKeyId, Clock, OrganizationId, Random, UserId};

use crate::error::ServerError;

/// The file with the admin's key, below the data directory.
pub const KEY_FILE: &str = "admin-api-key";

/// What bootstrap did about the admin's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminKey {
    /// It existed before.
    Known,
    /// It was taken from the settings.
    Given,
    /// It was drawn now; this is the only time it is shown.
    Generated(String),
}

/// Makes sure that an admin, a personal organisation and a working key exist. A key that the settings name is added
/// when it is new, so that an operator who lost the first one can say another. `lost` is the organisation that sandboxes
/// of this host belong to: a database that was lost gets it, and the key of the file, back.
pub async fn bootstrap(
    store: &Store,
    data_directory: &Path,
    given: Option<&str>,
    lost: Option<OrganizationId>,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<(AdminKey, OrganizationId), ServerError> {
    let failed = |action: &'static str| move |source| ServerError::Store { action, source };
    let user_id = UserId(OPERATOR.to_owned());
    let now = clock.now();
    let known = store.user_get(&user_id).await.map_err(failed("find the admin"))?.is_some();
    if !known {
        let user = User {
            id: user_id.clone(),
            name: "Admin".to_owned(),
            email: String::new(),
            email_verified: false,
            created_at: now,
        };
        store.user_insert(&user).await.map_err(failed("make the admin"))?;
    }
    let organization_id = personal_organization(store, user_id.clone(), lost, now, random).await?;
    let kept = fs::read_to_string(data_directory.join(KEY_FILE)).ok();
    let kept = kept.map(|text| text.trim().to_owned()).filter(|key| !key.is_empty());
    let find = |key: &str| {
        let hash = store::api_key::hash(key);
        async move { store.api_key_find(&hash).await.map_err(failed("find the admin's key")) }
    };
    let (key, admin_key) = match (given, kept) {
        (Some(key), _) => (key.to_owned(), AdminKey::Given),
        // A crash came between the file and the row, or the rows were lost: clients have this key.
        (None, Some(key)) => (key, AdminKey::Known),
        (None, None) => {
            let key = format!("dtn_{}", types::random::hex_token(random, 32));
            (key.clone(), AdminKey::Generated(key))
        }
    };
    if find(&key).await?.is_some() {
        write_key(data_directory, &key)?;
        return Ok((AdminKey::Known, organization_id));
    }
    // The file comes first: a crash between the two leaves a key that the next start takes from the file, never one
    // that nobody knows.
    write_key(data_directory, &key)?;
    let hash = store::api_key::hash(&key);
    let row = ApiKey {
        id: ApiKeyId::random(random),
        organization_id,
        user_id,
        name: format!("admin {}", hash.get(..8).unwrap_or_default()),
        hash,
        permissions: Permission::ALL.to_vec(),
        created_at: now,
        expires_at: None,
    };
    store.api_key_insert(&row).await.map_err(failed("keep the admin's key"))?;
    Ok((admin_key, organization_id))
}

/// Finds the personal organisation of a user, or makes it.
async fn personal_organization(
    store: &Store,
    user_id: UserId,
    lost: Option<OrganizationId>,
    now: types::Timestamp,
    random: &dyn Random,
) -> Result<OrganizationId, ServerError> {
    let failed = |action: &'static str| move |source| ServerError::Store { action, source };
    let known = store.organization_get_personal(&user_id).await.map_err(failed("find the organization"))?;
    if let Some(organization) = known {
        return Ok(organization.id);
    }
    let organization = Organization {
        id: lost.unwrap_or_else(|| OrganizationId::random(random)),
        name: PERSONAL.to_owned(),
        personal: true,
        created_by: user_id,
        created_at: now,
    };
    store.organization_insert(&organization).await.map_err(failed("make the organization"))?;
    Ok(organization.id)
}

/// Writes the key where only root reads it.
fn write_key(data_directory: &Path, key: &str) -> Result<(), ServerError> {
    let path = data_directory.join(KEY_FILE);
    let text = format!("{key}\n");
    if fs::read_to_string(&path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    linux::replace::replace(&path, text.as_bytes(), 0o600).map_err(|source| ServerError::File {
        action: "write",
        path,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use types::{SystemClock, SystemRandom};

    #[tokio::test]
    async fn the_key_is_made_once_kept_private_and_can_be_replaced() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("daytona.db")).await.unwrap();
        let run = async |given: Option<&'static str>| {
            bootstrap(&store, home.path(), given, None, &SystemClock, &SystemRandom).await.unwrap().0
        };
        let AdminKey::Generated(first) = run(None).await else { panic!("the first start makes a key") };
        let path = home.path().join(KEY_FILE);
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), first);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(run(None).await, AdminKey::Known);
        assert_eq!(run(Some("mine")).await, AdminKey::Given);
        assert_eq!(run(Some("mine")).await, AdminKey::Known);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(run(None).await, AdminKey::Generated(_)), "a file that is lost is made anew");
        for key in [first.as_str(), "mine"] {
            assert!(store.api_key_find(&store::api_key::hash(key)).await.unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn a_lost_database_gets_the_organization_and_the_key_back() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(KEY_FILE), "dtn_kept\n").unwrap();
        let store = Store::open(&home.path().join("daytona.db")).await.unwrap();
        let lost = OrganizationId::from_u128(7);
        let run = bootstrap(&store, home.path(), None, Some(lost), &SystemClock, &SystemRandom);
        assert_eq!(run.await.unwrap(), (AdminKey::Known, lost));
        let key = store.api_key_find(&store::api_key::hash("dtn_kept")).await.unwrap().unwrap();
        assert_eq!(key.organization_id, lost);
    }
}
