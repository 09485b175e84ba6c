//! What is wrong with a configuration, where, and what would be right.
//! Prints through miette like Cedar's own errors: file, line and column, and the source line underlined.

use std::{ops::Range, sync::Arc};

use miette::{Diagnostic, NamedSource, SourceSpan};

/// One thing that is wrong.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Mistake {
    message: String,
    place: String,
    order: usize,
    #[source_code]
    source_text: Option<Arc<NamedSource<String>>>,
    #[label("{label}")]
    span: Option<SourceSpan>,
    label: String,
    #[help]
    help: Option<String>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Bytes of the file.
    Span(Range<usize>),
    /// A variable of the environment.
    Variable(String),
    /// Nowhere: it is missing, or a default.
    Absent,
}

/// The file as it was read, for pointing at.
#[derive(Clone, Debug)]
pub(super) struct Source {
    name: String,
    text: Arc<NamedSource<String>>,
}

impl Mistake {
    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// `file:line:column`, the name of a variable, or the file.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What would be right, where that can be guessed.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    pub(super) fn order(&self) -> usize {
        self.order
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Source {
    pub(super) fn new(name: String, text: String) -> Self {
        Self { text: Arc::new(NamedSource::new(&name, text).with_language("TOML")), name }
    }

    pub(super) fn text(&self) -> &str {
        self.text.inner()
    }

    /// A mistake at `origin`: `message` says it in full, `label` in the few words that stand below the source.
    pub(super) fn mistake(&self, origin: &Origin, message: impl Into<String>, label: impl Into<String>) -> Mistake {
        let message = message.into();
        let (message, place, order, span) = match origin {
            Origin::Span(range) => {
                (message, self.place(range.start), range.start, Some(SourceSpan::from(range.clone())))
            }
            Origin::Variable(name) => (format!("{name}: {message}"), name.clone(), usize::MAX, None),
            Origin::Absent => (message, self.name.clone(), usize::MAX - 1, None),
        };
        let source_text = span.is_some().then(|| Arc::clone(&self.text));
        Mistake { message, place, order, source_text, span, label: label.into(), help: None }
    }

    fn place(&self, offset: usize) -> String {
        let before = self.text().get(..offset).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", self.name)
    }
}
