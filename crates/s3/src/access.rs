//! Who may do what: a credential opens one organisation's prefix of one bucket, and nothing else.

use std::sync::Arc;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3ErrorCode, S3Result};
use types::{Clock, OrganizationId};

use crate::credential::{Issuer, Refused};
use crate::key;

/// What is built; anything else is refused before it is looked at.
const OPERATIONS: [&str; 17] = [
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateMultipartUpload",
    "DeleteObject",
    "DeleteObjects",
    "GetBucketLocation",
    "GetBucketVersioning",
    "GetObject",
    "HeadBucket",
    "HeadObject",
    "ListMultipartUploads",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "PutObject",
    "UploadPart",
];

/// Whose objects a request may touch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope(pub(crate) OrganizationId);

/// Checks credentials.
#[derive(Debug, Clone)]
pub(crate) struct Doorkeeper {
    pub(crate) issuer: Issuer,
    pub(crate) bucket: String,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait::async_trait]
impl S3Auth for Doorkeeper {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        self.read(access_key)?;
        Ok(SecretKey::from(self.issuer.secret(access_key)))
    }
}

#[async_trait::async_trait]
impl S3Access for Doorkeeper {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let denied = || s3s::S3Error::with_message(S3ErrorCode::AccessDenied, "Access Denied");
        let access_key = context.credentials().map(|known| known.access_key.clone()).ok_or_else(denied)?;
        let organization = self.read(&access_key)?;
        let token = session_token(context).ok_or_else(denied)?;
        if !self.issuer.knows(&access_key, &token) {
            return Err(s3s::S3Error::with_message(
                S3ErrorCode::InvalidToken,
                "The session token is not the one of the access key",
            ));
        }
        let operation = context.s3_op().name();
        if !OPERATIONS.contains(&operation) {
            return Err(s3s::S3Error::with_message(
                S3ErrorCode::NotImplemented,
                format!("{operation} is not built"),
            ));
        }
        let path = context.s3_path();
        if path.get_bucket_name() != Some(self.bucket.as_str()) {
            return Err(denied());
        }
        let prefix = key::prefix(organization);
        if path.get_object_key().is_some_and(|key| !key.starts_with(&prefix)) {
            return Err(denied());
        }
        context.extensions_mut().insert(Scope(organization));
        Ok(())
    }
}

impl Doorkeeper {
    fn read(&self, access_key: &str) -> S3Result<OrganizationId> {
        Issuer::read(access_key, self.clock.now()).map_err(|refused| match refused {
            Refused::Unknown => {
                s3s::S3Error::with_message(S3ErrorCode::InvalidAccessKeyId, "The access key is not known")
            }
            Refused::Expired => s3s::S3Error::with_message(
                S3ErrorCode::ExpiredToken,
                "The credentials have expired; ask for new ones at object-storage/push-access",
            ),
        })
    }
}

/// Finds the session token: in a header, or in the address when that is signed.
fn session_token(context: &S3AccessContext<'_>) -> Option<String> {
    const NAME: &str = "x-amz-security-token";
    if let Some(value) = context.headers().get(NAME) {
        return Some(value.to_str().ok()?.to_owned());
    }
    let query = context.uri().query()?;
    query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        // It is made of hexadecimal digits, which nobody encodes.
        name.eq_ignore_ascii_case(NAME).then(|| value.to_owned())
    })
}
