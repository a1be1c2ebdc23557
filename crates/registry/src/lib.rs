//! Images in registries: references, manifests, blobs; pull and push, over the OCI distribution protocol.
#![forbid(unsafe_code)]
