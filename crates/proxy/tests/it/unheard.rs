//! A daemon that answers an upload and closes before it has read it is heard all the same.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::house::{House, KEY, RUNNING};

const BODY_BYTES: usize = 32 << 20;

#[tokio::test]
async fn an_answer_that_came_before_the_upload_ended_is_passed_on() {
    let answer = b"HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 8\r\n\r\ntoo long";
    // Reads a part of the head or of the body, answers, and closes with the rest unread.
    let house = House::with_raw_daemon(answer).await;
    for round in 0..20 {
        let mut client = house.client().await;
        let head = format!(
            "POST /toolbox/{RUNNING}/files/upload-v2?path=x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n\
             connection: close\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.expect("writes");
        let (mut from_house, mut to_house) = client.into_split();
        let upload = tokio::spawn(async move {
            let block = vec![0_u8; 1 << 20];
            for _ in 0..BODY_BYTES >> 20 {
                to_house.write_all(&block).await?;
            }
            Ok::<_, std::io::Error>(to_house)
        });
        let mut text = String::new();
        from_house.read_to_string(&mut text).await.expect("reads");
        assert!(text.starts_with("HTTP/1.1 413") && text.ends_with("too long"), "round {round}: {text}");
        upload.await.expect("ends").expect("every byte is taken");
    }
}

#[tokio::test]
async fn a_daemon_that_says_nothing_is_a_gateway_error() {
    let house = House::with_raw_daemon(b"").await;
    let answer = house.call("POST", "/files/upload-v2?path=x", "", &"x".repeat(4 << 20)).await;
    assert_eq!((answer.status, &answer.json()["code"]), (502, &"SANDBOX_UNREACHABLE".into()));
}
