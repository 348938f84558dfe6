//! The configuration document.

use tokencache::config::Config;

pub fn run(bytes: &[u8]) {
    match Config::parse(bytes) {
        // What was taken once is taken again, and an open cache may be given the document that it has.
        Ok(config) => {
            let again = Config::parse(bytes).expect("the same document");
            config.check_change(&again).expect("nothing has changed");
        }
        Err(error) => {
            assert!(error.message.ends_with(['.', '?', '!', ')']), "no sentence: {}", error.message)
        }
    }
}
