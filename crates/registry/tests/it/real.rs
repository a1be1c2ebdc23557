//! Debian's registry: what is pushed comes back, to those who may have it.

use registry::settings::Host;
use registry::{Credentials, Digest, RegistryError};
use testkit::docker_registry::DockerRegistry;

use crate::image::{
    client, descriptor, explain, mirror, name, noise, plain, pull, push, resolve, settings, user,
};
use crate::tls::Authority;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_comes_back() {
    let server = DockerRegistry::open_to_all().unwrap();
    let client = client(&settings(&[(server.address(), plain())]));
    let target = name(&format!("{}/team/image:1", server.address()));
    let layers = vec![noise(3_000_000), Vec::new(), noise(10)];
    let digest = push(&client, &target, None, &layers).await.unwrap();
    assert_eq!(pull(&client, &target, None).await.unwrap(), layers);
    let resolved = resolve(&client, &target, None).await.unwrap();
    assert_eq!((&resolved.digest, &resolved.manifest_digest), (&digest, &digest));
    assert_eq!(resolved.configuration.config.unwrap().entrypoint, Some(vec!["/x".to_owned()]));
    // By digest, and nothing else under another.
    assert_eq!(pull(&client, &target.with_digest(digest), None).await.unwrap(), layers);
    let other = resolve(&client, &target.with_digest(Digest::of(b"other")), None).await.unwrap_err();
    assert!(matches!(other, RegistryError::Missing { .. }), "{}", explain(&other));
    let nothing =
        resolve(&client, &name(&format!("{}/team/image:2", server.address())), None).await.unwrap_err();
    assert!(matches!(nothing, RegistryError::Missing { .. }), "{}", explain(&nothing));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_taken_over_from_another_repository() {
    let server = DockerRegistry::open_to_all().unwrap();
    let client = client(&settings(&[(server.address(), plain())]));
    let layer = noise(1000);
    push(&client, &name(&format!("{}/one:1", server.address())), None, std::slice::from_ref(&layer))
        .await
        .unwrap();
    let target = name(&format!("{}/two:1", server.address()));
    let second = client.push(&target, None, ["one".to_owned()].into_iter()).unwrap();
    let digest = descriptor("", &layer).digest;
    assert!(!second.has(&digest).await.unwrap());
    assert!(second.mount(&digest, "one").await.unwrap());
    assert!(second.has(&digest).await.unwrap());
    assert!(!second.mount(&Digest::of(b"nowhere"), "one").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_passwords_over_tls_of_an_authority_of_ones_own() {
    let authority = Authority::new();
    let server = DockerRegistry::with_password(Some((&authority.certificate(), &authority.key()))).unwrap();
    let host = Host { ca_pem: Some(authority.pem.clone()), ..Host::default() };
    let trusting = client(&settings(&[(server.address(), host)]));
    let target = name(&format!("{}/private:1", server.address()));
    let layers = vec![noise(100_000)];
    push(&trusting, &target, Some(&user()), &layers).await.unwrap();
    assert_eq!(pull(&trusting, &target, Some(&user())).await.unwrap(), layers);

    let denied = resolve(&trusting, &target, None).await.unwrap_err();
    assert!(explain(&denied).contains("needs credentials"), "{}", explain(&denied));
    let wrong = Credentials { password: "wrong".to_owned(), ..user() };
    let denied = resolve(&trusting, &target, Some(&wrong)).await.unwrap_err();
    assert!(matches!(denied, RegistryError::Denied { status: 401, .. }), "{}", explain(&denied));
    assert!(!explain(&denied).contains("wrong"), "{}", explain(&denied));
    let blob = descriptor("", &layers[0]).digest;
    assert!(!trusting.pull(&target, Some(&wrong)).unwrap().may_have(&blob).await.unwrap());
    assert!(trusting.pull(&target, Some(&user())).unwrap().may_have(&blob).await.unwrap());

    // Whoever does not trust the authority sends nothing.
    let strange = resolve(&client(&settings(&[])), &target, Some(&user())).await.unwrap_err();
    assert!(matches!(strange, RegistryError::Send { .. }), "{}", explain(&strange));
    // A registry that has TLS is not spoken to without it.
    let open = resolve(&client(&settings(&[(server.address(), plain())])), &target, Some(&user()))
        .await
        .unwrap_err();
    assert!(
        matches!(open, RegistryError::Status { .. } | RegistryError::Answer { .. }),
        "{}",
        explain(&open)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_come_first_and_the_registry_itself_last() {
    let origin = DockerRegistry::with_password(None).unwrap();
    let open = DockerRegistry::open_to_all().unwrap();
    let (seed, direct) = (settings(&[(open.address(), plain())]), settings(&[(origin.address(), plain())]));
    let (seed, direct) = (client(&seed), client(&direct));
    let mirrored = name(&format!("{}/hub/image:1", open.address()));
    push(&seed, &mirrored, None, &[b"of the mirror".to_vec()]).await.unwrap();
    let source = name(&format!("{}/image:1", origin.address()));
    push(&direct, &source, Some(&user()), &[b"of the registry".to_vec()]).await.unwrap();
    let only_there = name(&format!("{}/other:1", origin.address()));
    push(&direct, &only_there, Some(&user()), &[b"only there".to_vec()]).await.unwrap();

    let prefix = format!("http://{}/hub", open.address());
    // The first mirror does not answer, the second has some images.
    let host = Host { mirrors: vec![mirror("http://127.0.0.1:1"), mirror(&prefix)], ..plain() };
    let client = client(&settings(&[(origin.address(), host)]));
    assert_eq!(pull(&client, &source, None).await.unwrap(), [b"of the mirror"]);
    assert_eq!(pull(&client, &only_there, Some(&user())).await.unwrap(), [b"only there"]);
    // The failure of the registry itself is the one that is told.
    let denied = resolve(&client, &only_there, None).await.unwrap_err();
    assert!(explain(&denied).contains(origin.address()), "{}", explain(&denied));
    // What is pushed goes to the registry itself.
    let pushed = name(&format!("{}/pushed:1", origin.address()));
    push(&client, &pushed, Some(&user()), &[b"pushed".to_vec()]).await.unwrap();
    assert_eq!(pull(&direct, &pushed, Some(&user())).await.unwrap(), [b"pushed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_fetches_from_another_is_a_mirror() {
    let origin = DockerRegistry::open_to_all().unwrap();
    let direct = client(&settings(&[(origin.address(), plain())]));
    let layers = vec![noise(200_000)];
    push(&direct, &name(&format!("{}/team/image:1", origin.address())), None, &layers).await.unwrap();
    let proxy = format!("proxy:\n  remoteurl: http://{}\n", origin.address());
    let through = DockerRegistry::start(&proxy, "").unwrap();
    // Nobody has this name: what comes, comes from the mirror.
    let host = Host { mirrors: vec![mirror(&format!("http://{}", through.address()))], ..Host::default() };
    let client = client(&settings(&[("registry.invalid", host)]));
    assert_eq!(pull(&client, &name("registry.invalid/team/image:1"), None).await.unwrap(), layers);
}
