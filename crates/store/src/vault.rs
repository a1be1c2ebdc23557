//! Secrets at rest: sealed with a key that lies in a file beside the database, so that a copy of the database alone opens
//! none of them.

use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use types::Random;

use crate::error::StoreError;

/// The key's file, in the directory of the database.
const FILE: &str = "secrets.key";
const KEY_BYTES: usize = 32;
const ONLY_OWNER: u32 = 0o600;

/// Seals and opens. The key is read when it is needed, which is seldom, and made when the first secret comes.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    path: PathBuf,
}

impl Vault {
    /// Names the key beside a database.
    pub(crate) fn beside(database: &Path) -> Self {
        Self { path: database.with_file_name(FILE) }
    }

    /// Seals a secret. It opens only as what it was sealed for, so that no row can show the secret of another.
    pub(crate) fn seal(
        &self,
        secret: &str,
        sealed_for: &str,
        random: &dyn Random,
    ) -> Result<Vec<u8>, StoreError> {
        let key = match self.key() {
            Ok(key) => key,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.make_key(random)?,
            Err(source) => return Err(self.unreadable(source)),
        };
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = secret.as_bytes().to_vec();
        let aad = Aad::from(sealed_for.as_bytes());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| self.broken())?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Vault::seal`] made.
    pub(crate) fn open(&self, sealed: &[u8], sealed_for: &str) -> Result<String, StoreError> {
        let key = self.key().map_err(|source| self.unreadable(source))?;
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or_else(|| self.broken())?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| self.broken())?;
        let mut text = text.to_vec();
        let opened = key.open_in_place(nonce, Aad::from(sealed_for.as_bytes()), &mut text);
        let opened = opened.map_err(|_| self.broken())?;
        String::from_utf8(opened.to_vec()).map_err(|_| self.broken())
    }

    fn key(&self) -> std::io::Result<LessSafeKey> {
        let bytes = std::fs::read(&self.path)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes);
        let key = key.map_err(|_| std::io::Error::other(format!("it does not hold {KEY_BYTES} bytes")))?;
        Ok(LessSafeKey::new(key))
    }

    /// Makes the key on disk before anything is sealed with it.
    fn make_key(&self, random: &dyn Random) -> Result<LessSafeKey, StoreError> {
        let mut bytes = [0; KEY_BYTES];
        random.fill(&mut bytes);
        linux::replace::replace(&self.path, &bytes, ONLY_OWNER).map_err(|source| self.unreadable(source))?;
        self.key().map_err(|source| self.unreadable(source))
    }

    fn unreadable(&self, source: std::io::Error) -> StoreError {
        StoreError::Key { path: self.path.clone(), source }
    }

    fn broken(&self) -> StoreError {
        StoreError::Sealed { path: self.path.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use types::SystemRandom;

    use super::*;

    #[test]
    fn a_secret_opens_only_as_what_it_was_sealed_for_and_with_its_key() {
        let home = tempfile::tempdir().unwrap();
        let vault = Vault::beside(&home.path().join("daytona.db"));
        let sealed = vault.seal("hush", "one", &SystemRandom).unwrap();
        assert!(!sealed.windows(4).any(|part| part == b"hush"));
        assert_ne!(sealed, vault.seal("hush", "one", &SystemRandom).unwrap(), "a nonce comes once");
        assert_eq!(vault.open(&sealed, "one").unwrap(), "hush");
        assert!(matches!(vault.open(&sealed, "two"), Err(StoreError::Sealed { .. })));
        for cut in [0, 5, sealed.len() - 1] {
            assert!(matches!(vault.open(&sealed[..cut], "one"), Err(StoreError::Sealed { .. })), "{cut}");
        }
        let path = home.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(vault.open(&sealed, "one"), Err(StoreError::Key { .. })));
        vault.seal("other", "two", &SystemRandom).unwrap();
        assert!(matches!(vault.open(&sealed, "one"), Err(StoreError::Sealed { .. })), "another key");
    }
}
