//! A server that keeps counters as Redis does, or misbehaves.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A command: its name and arguments.
pub type Command = Vec<String>;

#[derive(Default)]
pub struct State {
    pub counts: HashMap<String, u64>,
    pub commands: Vec<Command>,
    pub connections: usize,
    knows_script: bool,
}

#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
}

/// What a connection does after a command.
pub enum Reaction {
    /// What Redis does.
    Usual,
    /// Says this and goes on.
    Says(&'static str),
    /// Ends.
    Ends,
    /// Keeps silent.
    Silent,
}

impl Server {
    pub fn new() -> Self {
        Self::reacting(|_, _| Reaction::Usual)
    }

    /// `react` gets the command, and the number of the connection from 0.
    pub fn reacting(react: impl Fn(&Command, usize) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let (state, react) = (server.state.clone(), Arc::new(react));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (state, react) = (state.clone(), react.clone());
                let number = {
                    let mut state = state.lock().unwrap();
                    state.connections += 1;
                    state.connections - 1
                };
                thread::spawn(move || serve(stream, &state, |command| react(command, number)));
            }
        });
        server
    }

    /// The commands of a name so far.
    pub fn commands(&self, name: &str) -> Vec<Command> {
        let state = self.state.lock().unwrap();
        state.commands.iter().filter(|command| command[0] == name).cloned().collect()
    }

    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// What is counted under names that end so.
    pub fn counted(&self, end: &str) -> Vec<u64> {
        let state = self.state.lock().unwrap();
        state.counts.iter().filter(|(name, _)| name.ends_with(end)).map(|(_, count)| *count).collect()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>, react: impl Fn(&Command) -> Reaction) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(command) = read(&mut reader) {
        state.lock().unwrap().commands.push(command.clone());
        let reply = match react(&command) {
            Reaction::Usual => state.lock().unwrap().run(&command),
            Reaction::Says(reply) => reply.to_owned(),
            Reaction::Ends => return,
            Reaction::Silent => continue,
        };
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Command> {
    let mut number = |kind: char| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let count: usize = line.strip_prefix(kind)?.trim_end().parse().ok()?;
        if kind == '*' {
            return Some((count, String::new()));
        }
        let mut item = vec![0; count + 2];
        reader.read_exact(&mut item).ok()?;
        item.truncate(count);
        Some((count, String::from_utf8(item).unwrap()))
    };
    let (count, _) = number('*')?;
    (0..count).map(|_| number('$').map(|(_, item)| item)).collect()
}

impl State {
    fn run(&mut self, command: &Command) -> String {
        match command[0].as_str() {
            "EVALSHA" if !self.knows_script => "-NOSCRIPT No matching script.\r\n".into(),
            "EVAL" | "EVALSHA" => {
                self.knows_script = true;
                self.count(&command[2..])
            }
            _ => "+OK\r\n".into(),
        }
    }

    fn count(&mut self, arguments: &[String]) -> String {
        let count: usize = arguments[0].parse().unwrap();
        let (keys, numbers) = arguments[1..].split_at(count);
        let number = |index: usize| numbers[index].parse::<u64>().unwrap();
        let used: Vec<u64> = keys.iter().map(|key| self.counts.get(key).copied().unwrap_or_default()).collect();
        let is_full = used.iter().enumerate().any(|(index, used)| *used >= number(3 * index));
        for (index, key) in keys.iter().enumerate().filter(|_| !is_full) {
            *self.counts.entry(key.clone()).or_default() += number(3 * index + 2);
        }
        let lines = used.iter().map(|used| format!(":{used}\r\n"));
        std::iter::once(format!("*{count}\r\n")).chain(lines).collect::<Vec<_>>().concat()
    }
}
