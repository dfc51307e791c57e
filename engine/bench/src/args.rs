//! Command-line options: `--name value` pairs, some of them repeatable, unknown ones refused.

use std::str::FromStr;

/// Options as given; each is taken out by the command that knows it.
pub struct Args {
    pairs: Vec<(String, String)>,
}

impl Args {
    /// Reads `--name value` pairs.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut pairs = Vec::new();
        let mut words = words;
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("not an option: {word}"))?.to_owned();
            let value = words.next().ok_or_else(|| format!("--{name} needs a value"))?;
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// All values of a repeatable option, in order.
    pub fn all(&mut self, name: &str) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.pairs).into_iter().partition(|(key, _)| key == name);
        self.pairs = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// The last value of an option, or `default`.
    pub fn value<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        match self.all(name).pop() {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{name}: unusable value {text:?}")),
        }
    }

    /// Fails when an option was given that nobody took.
    pub fn finish(self) -> Result<(), String> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("unknown option --{name}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    fn args(words: &[&str]) -> Result<Args, String> {
        Args::parse(words.iter().map(|&word| word.to_owned()))
    }

    #[test]
    fn options_are_taken_once_and_repeatable() {
        let mut args = args(&["--n", "3", "--h", "a", "--h", "b"]).unwrap();
        assert_eq!(args.value("n", 1), Ok(3));
        assert_eq!(args.value("n", 1), Ok(1));
        assert_eq!(args.all("h"), ["a", "b"]);
        assert_eq!(args.finish(), Ok(()));
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        assert!(args(&["n"]).is_err());
        assert!(args(&["--n"]).is_err());
        assert!(args(&["--n", "1"]).unwrap().finish().is_err());
        assert!(args(&["--n", "x"]).unwrap().value("n", 1).is_err());
    }
}
