//! What a server is really asked: the commands as MONITOR shows them.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use crate::support::{GENEROUS, Server};

/// A connection that is told of every command.
pub struct Monitor<'a> {
    server: &'a Server,
    lines: BufReader<UnixStream>,
}

impl<'a> Monitor<'a> {
    pub fn of(server: &'a Server) -> Monitor<'a> {
        let mut link = UnixStream::connect(server.socket()).expect("the socket");
        link.set_read_timeout(Some(GENEROUS)).expect("a timeout");
        link.write_all(b"AUTH tests tests\r\nMONITOR\r\n").expect("asked");
        let mut lines = BufReader::new(link);
        for _ in 0..2 {
            let mut line = String::new();
            lines.read_line(&mut line).expect("an answer");
            assert_eq!(line, "+OK\r\n");
        }
        Monitor { server, lines }
    }

    /// The words of every command up to now, but for those of the tests' own user over the socket.
    pub fn seen(&mut self) -> Vec<Vec<String>> {
        self.server.ask::<String>("ECHO that-is-all");
        let mut commands = Vec::new();
        loop {
            let mut line = Vec::new();
            self.lines.read_until(b'\n', &mut line).expect("a line");
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains("\"ECHO\" \"that-is-all\"") {
                return commands;
            }
            if let Some((head, words)) = line.split_once("] ")
                && !head.contains("unix:")
            {
                let words = words.trim().split(' ').map(|word| word.trim_matches('"').to_owned());
                commands.push(words.collect());
            }
        }
    }
}
