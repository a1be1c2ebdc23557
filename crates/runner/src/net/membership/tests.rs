//! Groups that form and dissolve, and names that are hosts' and that are not.

use super::*;

const OWNER: &str = "00000000-0000-4000-8000-00000000000a";
const FIRST: &str = "00000000-0000-4000-8000-000000000001";
const SECOND: &str = "00000000-0000-4000-8000-000000000002";

fn member(organization: &str, owner: Option<&str>, name: &str) -> Membership {
    Membership {
        organization_id: organization.to_owned(),
        owner_id: owner.map(str::to_owned),
        name: name.to_owned(),
    }
}

#[test]
fn only_single_labels_that_mean_nothing_else_are_names_of_hosts() {
    for (name, expected) in [
        ("db", Some("db")),
        ("My-DB_2", Some("my-db_2")),
        ("a", Some("a")),
        ("0xyz", Some("0xyz")),
        ("1a", Some("1a")),
    ] {
        assert_eq!(host_name(name).as_deref(), expected, "{name}");
    }
    let long = "a".repeat(64);
    for name in [
        "",
        "-db",
        "db-",
        "my db",
        "dätabase",
        "db.",
        "api.openai.com",
        "metadata.google.internal",
        "localhost",
        "LocalHost",
        "metadata",
        "wpad",
        "127",
        "0x7f000001",
        "0x",
        "*",
        "a\"b",
        "a;b",
        "a\nb",
        "a\0b",
        "../x",
        OWNER,
        &long,
    ] {
        assert_eq!(host_name(name), None, "{name:?}");
    }
    assert!(host_name(&long[1..]).is_some());
}

#[test]
fn a_group_is_one_from_two_on_and_ends_with_the_last_but_one() {
    let mut groups = Groups::default();
    assert!(groups.join(1, OWNER, &member("o", None, "owner")));
    assert_eq!((groups.number(1), groups.find(1, "owner")), (None, None), "alone, nobody has a name");
    assert!(groups.join(2, FIRST, &member("o", Some(OWNER), "first")));
    let number = groups.number(1).expect("they are two");
    assert_eq!((groups.number(2), groups.others(1), groups.others(2)), (Some(number), vec![2], vec![1]));
    assert!(groups.join(3, SECOND, &member("o", Some(OWNER), "second")));
    assert_eq!(groups.find(3, "first"), Some(2), "those of one owner see each other");
    assert!(!groups.join(3, SECOND, &member("o", Some(OWNER), "renamed")));
    assert_eq!((groups.find(2, "second"), groups.find(2, "renamed")), (None, Some(3)));
    groups.leave(1);
    assert_eq!((groups.number(2), groups.find(2, "owner")), (Some(number), None));
    groups.leave(2);
    groups.leave(2);
    assert_eq!((groups.number(3), groups.others(3)), (None, vec![]));
    groups.leave(3);
    assert!(groups.by_key.is_empty() && groups.members.is_empty());
    groups.join(1, OWNER, &member("o", None, "owner"));
    groups.join(2, FIRST, &member("o", Some(OWNER), "first"));
    assert_ne!(groups.number(1), Some(number), "no number is used again");
    assert_eq!(groups.numbers().len(), 1);
}

#[test]
fn neither_another_organization_nor_a_link_of_a_link_joins() {
    let mut groups = Groups::default();
    groups.join(1, OWNER, &member("o", None, "owner"));
    groups.join(2, FIRST, &member("other", Some(OWNER), "thief"));
    assert_eq!((groups.number(1), groups.number(2)), (None, None));
    groups.join(3, FIRST, &member("o", Some(OWNER), "first"));
    groups.join(4, SECOND, &member("o", Some(FIRST), "chained"));
    assert_eq!((groups.others(4), groups.others(3)), (vec![], vec![1]));
    assert_eq!((groups.name_of(3).as_deref(), groups.name_of(5)), (Some("first"), None));
}

#[test]
fn ids_are_found_before_names_and_the_owner_before_others() {
    let mut groups = Groups::default();
    groups.join(2, FIRST, &member("o", Some(OWNER), "DB"));
    groups.join(3, SECOND, &member("o", Some(OWNER), OWNER));
    groups.join(1, OWNER, &member("o", None, "db"));
    let find = |name: &str| groups.find(2, name);
    assert_eq!((find("db"), find(OWNER), find(SECOND), find(FIRST)), (Some(1), Some(1), Some(3), Some(2)));
    assert_eq!(find("elsewhere"), None);
    assert_eq!(groups.name_of(3).as_deref(), Some(SECOND), "what has no host's name is called by its id");
    groups.leave(1);
    assert_eq!(groups.find(3, "db"), Some(2));
}
