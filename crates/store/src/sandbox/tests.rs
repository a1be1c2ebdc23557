//! What is asked often is found by an index, however many rows there are.

use super::*;
use crate::sandbox::{admission, page};

#[tokio::test]
async fn what_is_asked_often_looks_at_no_row_in_vain() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("daytona.db")).await.unwrap();
    let asked = [
        ("get", GET),
        ("find", FIND),
        ("insert", INSERT),
        ("update desired", UPDATE_DESIRED),
        ("update observed", UPDATE_OBSERVED),
        ("touch", TOUCH),
        ("moving", LIST_MOVING),
        ("claimed", LIST_CLAIMED),
        ("purge", PURGE),
        ("sum up", admission::USED),
        ("rows of a page", page::FETCH),
        ("ids of an organisation", page::LIST_IDS),
        ("read again", page::READ_AGAIN),
    ];
    for (name, statement) in asked {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let rows: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(explain).fetch_all(&store.writer).await.unwrap();
        let lines: Vec<String> = rows.into_iter().map(|(_, _, _, detail)| detail).collect();
        let looks_at_all =
            |line: &String| line.starts_with("SCAN sandbox") && !line.contains("INDEX sandbox_moving");
        assert!(!lines.iter().any(looks_at_all), "{name}: {lines:#?}");
        assert!(
            !lines.iter().any(|line| line.contains("TEMP B-TREE") && name != "find"),
            "{name}: {lines:#?}"
        );
        let by_organization = lines.iter().any(|line| line.contains("sandbox_organization"));
        let may = ["insert", "update desired", "sum up", "ids of an organisation"].contains(&name);
        assert_eq!(by_organization, may, "{name} goes through a whole organisation or should: {lines:#?}");
    }
}
