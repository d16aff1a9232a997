//! Where notifications go: a server that keeps what comes in, and answers as it is told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::{
    hand::Hand,
    wire::{Answer, receive},
};

/// No notification takes that long, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Shop {
    pub notify_url: String,
    inbox: mpsc::UnboundedReceiver<Posted>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

/// One notification as it came over the wire.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Headers and body, in the shape in which signatures are verified.
    pub message: Answer,
    /// `POST /notify HTTP/1.1`.
    pub first_line: String,
}

impl Shop {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let notify_url = format!("http://{}/notify", listener.local_addr().unwrap());
        let (letters, inbox) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let script = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, letters.clone(), Arc::clone(&script)));
            }
        });
        Self { notify_url, inbox, answers }
    }

    /// What the next notifications are answered with; 204 when nothing is left. 0 is silence: the
    /// notification is kept and never answered.
    pub fn answer_with(&self, statuses: impl IntoIterator<Item = u16>) {
        self.answers.lock().unwrap().extend(statuses);
    }

    pub async fn next(&mut self) -> Posted {
        let posted = tokio::time::timeout(PATIENCE, self.inbox.recv()).await;
        posted.expect("a notification").expect("the shop is open")
    }

    /// What has come in and was not looked at.
    pub fn rest(&mut self) -> Vec<Posted> {
        std::iter::from_fn(|| self.inbox.try_recv().ok()).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    letters: mpsc::UnboundedSender<Posted>,
    script: Arc<Mutex<VecDeque<u16>>>,
) {
    let Some((first_line, message)) = receive(&mut stream).await else { return };
    let status = script.lock().unwrap().pop_front().unwrap_or(204);
    // Told before it is answered: whoever waits for the answer's effect has read the letter.
    if letters.send(Posted { message, first_line }).is_err() {
        return;
    }
    if status == 0 {
        return std::future::pending().await;
    }
    let length = if status == 204 { "" } else { "Content-Length: 0\r\n" };
    let answer = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n{length}\r\n");
    // WeChat Pay may have hung up; that is its business.
    let _ = stream.write_all(answer.as_bytes()).await;
}

impl Posted {
    pub fn envelope(&self) -> Value {
        self.message.json()
    }

    /// What was sealed in it, if WeChat Pay signed it and sealed it for this merchant.
    pub fn opened(&self, hand: &Hand) -> Result<Value, String> {
        hand.verify(&self.message)?;
        let plain = hand.open(&self.envelope()["resource"]).ok_or("it does not open")?;
        serde_json::from_slice(&plain).map_err(|_| "not JSON".to_owned())
    }
}
