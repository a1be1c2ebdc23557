//! The first start: an admin, the admin's organisation and a key, without a browser.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use fs_err as fs;
use store::Store;
use types::api_key::{ApiKey, Permission};
use types::organization::Organization;
use types::user::User;
use types::{ApiKeyId, Clock, OrganizationId, Random, UserId};

use crate::error::ServerError;

/// The admin's id, as the original platform names it.
const ADMIN: &str = "daytona-admin";
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
/// when it is new, so that an operator who lost the first one can say another.
pub async fn bootstrap(
    store: &Store,
    data_directory: &Path,
    given: Option<&str>,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<AdminKey, ServerError> {
    let failed = |action: &'static str| move |source| ServerError::Store { action, source };
    let user_id = UserId(ADMIN.to_owned());
    let now = clock.now();
    let known = store.user_get(&user_id).await.map_err(failed("find the admin"))?.is_some();
    if !known {
        let user =
            User { id: user_id.clone(), name: "Admin".to_owned(), email: String::new(), created_at: now };
        store.user_insert(&user).await.map_err(failed("make the admin"))?;
    }
    let organization =
        store.organization_get_personal(&user_id).await.map_err(failed("find the organization"))?;
    let organization = if let Some(organization) = organization {
        organization
    } else {
        let organization = Organization {
            id: OrganizationId::random(random),
            name: "Personal".to_owned(),
            personal: true,
            created_by: user_id.clone(),
            created_at: now,
        };
        store.organization_insert(&organization).await.map_err(failed("make the organization"))?;
        organization
    };
    let key = match given {
        Some(key) => key.to_owned(),
        None if known && works(store, data_directory).await.map_err(failed("find the admin's key"))? => {
            return Ok(AdminKey::Known);
        }
        None => format!("dtn_{}", types::random::hex_token(random, 32)),
    };
    let hash = store::api_key::hash(&key);
    if store.api_key_find(&hash).await.map_err(failed("find the admin's key"))?.is_some() {
        write_key(data_directory, &key)?;
        return Ok(AdminKey::Known);
    }
    // The file comes first: a crash between the two leaves a file that the next start replaces, never a key that
    // nobody knows.
    write_key(data_directory, &key)?;
    let row = ApiKey {
        id: ApiKeyId::random(random),
        organization_id: organization.id,
        user_id,
        name: format!("admin {}", hash.get(..8).unwrap_or_default()),
        hash,
        permissions: Permission::ALL.to_vec(),
        created_at: now,
        expires_at: None,
    };
    store.api_key_insert(&row).await.map_err(failed("keep the admin's key"))?;
    Ok(if given.is_some() { AdminKey::Given } else { AdminKey::Generated(key) })
}

/// Tells whether the file holds a key that the store knows: a crash may have come between the two.
async fn works(store: &Store, data_directory: &Path) -> Result<bool, store::StoreError> {
    let Ok(key) = fs::read_to_string(data_directory.join(KEY_FILE)) else { return Ok(false) };
    Ok(store.api_key_find(&store::api_key::hash(key.trim())).await?.is_some())
}

/// Writes the key where only root reads it.
fn write_key(data_directory: &Path, key: &str) -> Result<(), ServerError> {
    let path = data_directory.join(KEY_FILE);
    let incoming = data_directory.join("admin-api-key.incoming");
    let write = || {
        let mut file =
            std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&incoming)?;
        writeln!(file, "{key}")?;
        fs::rename(&incoming, &path)
    };
    write().map_err(|source| ServerError::File { action: "write", path: path.clone(), source })
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
        let run =
            |given: Option<&'static str>| bootstrap(&store, home.path(), given, &SystemClock, &SystemRandom);
        let AdminKey::Generated(first) = run(None).await.unwrap() else {
            panic!("the first start makes a key")
        };
        let path = home.path().join(KEY_FILE);
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), first);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(run(None).await.unwrap(), AdminKey::Known);
        assert_eq!(run(Some("mine")).await.unwrap(), AdminKey::Given);
        assert_eq!(run(Some("mine")).await.unwrap(), AdminKey::Known);
        std::fs::write(&path, "never recorded").unwrap();
        assert!(matches!(run(None).await.unwrap(), AdminKey::Generated(_)));
        for key in [first.as_str(), "mine"] {
            assert!(store.api_key_find(&store::api_key::hash(key)).await.unwrap().is_some());
        }
    }
}
