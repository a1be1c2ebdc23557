//! Users to what they see of themselves.

use daytona_wire::api::user as wire;
use types::user::User;

use crate::moment;

pub(crate) fn user(user: User) -> wire::User {
    wire::User {
        id: user.id.0,
        name: user.name,
        email: user.email,
        email_verified: user.email_verified,
        public_keys: Vec::new(),
        created_at: moment::write(user.created_at),
    }
}
