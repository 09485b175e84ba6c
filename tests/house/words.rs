//! Rust source as words: comments and literals gone, identifiers and punctuation left, each with its line.
//! As much of the language as the rules of the house need, and no more.

/// A word of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// An identifier, `::`, or one character of punctuation.
    pub text: String,
    /// Counted from 1.
    pub line: usize,
}

/// Splits `source` into words. A string literal is one word, with a quote before what stands in it.
pub fn words(source: &str) -> Vec<Word> {
    let mut reader = Reader { chars: source.chars().collect(), at: 0, line: 1, words: Vec::new() };
    while let Some(c) = reader.peek(0) {
        reader.word(c);
    }
    reader.words
}

/// The words outside items that are marked `#[cfg(test)]`.
pub fn without_tests(words: &[Word]) -> Vec<Word> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if is(words, at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            at = end_of_item(words, at + 7);
        } else {
            kept.push(words[at].clone());
            at += 1;
        }
    }
    kept
}

/// A file that is tests from its first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestModule {
    /// `#[cfg(test)] mod name;`
    Named(String),
    /// `#[cfg(test)] #[path = "file.rs"] mod name;`
    At(String),
}

/// The files of tests that these words declare.
pub fn test_modules(words: &[Word]) -> Vec<TestModule> {
    let mut found = Vec::new();
    for at in (0..words.len()).filter(|&at| is(words, at, &["#", "[", "cfg", "(", "test", ")", "]"])) {
        if is(words, at + 7, &["mod"]) && is(words, at + 9, &[";"]) {
            found.push(TestModule::Named(words[at + 8].text.clone()));
        }
        if is(words, at + 7, &["#", "[", "path", "="]) && is(words, at + 12, &["]", "mod"]) {
            found.push(TestModule::At(words[at + 11].text.trim_start_matches('"').to_owned()));
        }
    }
    found
}

/// Whether the words from `at` on are `expected`.
pub fn is(words: &[Word], at: usize, expected: &[&str]) -> bool {
    words.len() >= at + expected.len() && expected.iter().zip(&words[at..]).all(|(text, word)| word.text == *text)
}

fn end_of_item(words: &[Word], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate().skip(from) {
        match word.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_end = matches!(word.text.as_str(), "}" | ";" | ",");
        if depth == 0 && is_end {
            return at + 1;
        }
    }
    words.len()
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
    words: Vec<Word>,
}

impl Reader {
    fn word(&mut self, c: char) {
        match c {
            '/' if self.peek(1) == Some('/') => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.skip();
                }
            }
            '/' if self.peek(1) == Some('*') => self.block_comment(),
            '"' => self.string(),
            '\'' => self.quote(),
            ':' if self.peek(1) == Some(':') => {
                self.push("::".to_owned());
                self.skip();
                self.skip();
            }
            c if c.is_alphanumeric() || c == '_' => self.identifier(),
            c if c.is_whitespace() => self.skip(),
            c => {
                self.push(c.to_string());
                self.skip();
            }
        }
    }

    fn identifier(&mut self) {
        let mut text = String::new();
        while let Some(c) = self.peek(0).filter(|c| c.is_alphanumeric() || *c == '_') {
            text.push(c);
            self.skip();
        }
        let is_prefix = matches!(text.as_str(), "r" | "b" | "br" | "c" | "cr");
        match self.peek(0) {
            Some('"') if is_prefix && !text.contains('r') => self.string(),
            Some('"' | '#') if is_prefix && text.contains('r') && self.is_raw() => self.raw_string(),
            Some('\'') if text == "b" => self.quote(),
            _ => self.push(text),
        }
    }

    fn is_raw(&self) -> bool {
        let hashes = (0..).take_while(|&ahead| self.peek(ahead) == Some('#')).count();
        self.peek(hashes) == Some('"')
    }

    fn raw_string(&mut self) {
        let start = self.words.len();
        self.push("\"".to_owned());
        let hashes = (0..).take_while(|&ahead| self.peek(ahead) == Some('#')).count();
        (0..=hashes).for_each(|_| self.skip());
        let is_end =
            |reader: &Self| reader.peek(0) == Some('"') && (1..=hashes).all(|ahead| reader.peek(ahead) == Some('#'));
        while let Some(c) = self.peek(0).filter(|_| !is_end(self)) {
            self.words[start].text.push(c);
            self.skip();
        }
        (0..=hashes).for_each(|_| self.skip());
    }

    fn string(&mut self) {
        let start = self.words.len();
        self.push("\"".to_owned());
        self.skip();
        while let Some(c) = self.peek(0) {
            self.skip();
            match c {
                '"' => return,
                '\\' => self.skip(),
                c => self.words[start].text.push(c),
            }
        }
    }

    /// A character, or a lifetime.
    fn quote(&mut self) {
        self.skip();
        let is_character = self.peek(0) == Some('\\') || self.peek(1) == Some('\'');
        if !is_character {
            return;
        }
        if self.peek(0) == Some('\\') {
            self.skip();
        }
        self.skip();
        while self.peek(0).is_some_and(|c| c != '\'') {
            self.skip();
        }
        self.skip();
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.peek(0).is_some() {
            let pair = (self.peek(0), self.peek(1));
            if pair == (Some('/'), Some('*')) {
                depth += 1;
                self.skip();
            } else if pair == (Some('*'), Some('/')) {
                depth -= 1;
                self.skip();
            }
            self.skip();
            if depth == 0 {
                return;
            }
        }
    }

    fn push(&mut self, text: String) {
        self.words.push(Word { text, line: self.line });
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn skip(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.at += 1;
    }
}

fn texts(source: &str) -> String {
    words(source).iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn comments_and_literals_are_no_words() {
    assert_eq!(texts("a // crate::b\n/* c /* d */ e */ f"), "a f");
    assert_eq!(
        texts(r##"x("crate::\" y", r#"a " b"#, b"z", 'q', '\'', '\u{41}', b'w')"##),
        r#"x ( "crate:: y , "a " b , "z , , , , )"#
    );
    assert_eq!(texts("fn f<'a>(x: &'a str) -> r#type"), "fn f < a > ( x : & a str ) - > r # type");
}

#[test]
fn words_know_their_lines() {
    let lines: Vec<usize> = words("a\n\"b\nc\" d").iter().map(|word| word.line).collect();
    assert_eq!(lines, [1, 2, 3]);
}

#[test]
fn items_for_tests_are_left_out() {
    let left =
        |source: &str| -> Vec<String> { without_tests(&words(source)).into_iter().map(|word| word.text).collect() };
    assert_eq!(left("a; #[cfg(test)] mod tests { fn b() { c() } } d").join(" "), "a ; d");
    assert_eq!(left("#[cfg(test)]\nmod tests;\ne").join(" "), "e");
    assert_eq!(left("enum E { A, #[cfg(test)] B, C }").join(" "), "enum E { A , C }");
    let declared = test_modules(&words("#[cfg(test)]\nmod a;\nmod b;\n#[cfg(test)]\n#[path = \"c_test.rs\"]\nmod c;"));
    assert_eq!(declared, [TestModule::Named("a".to_owned()), TestModule::At("c_test.rs".to_owned())]);
}
