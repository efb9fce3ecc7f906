use super::*;
use crate::embed::HashedNgramVectorizer;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("new/folder/s.db"), Path::new("/root")).unwrap();
    (dir, store)
}

fn put(store: &Store, id: &str, texts: &[&str]) -> Replaced {
    let chunks: Vec<Chunk> = texts.iter().map(|t| Chunk { offset: 0, text: (*t).to_owned() }).collect();
    let vectors: Vec<Vec<f32>> = texts.iter().map(|t| HashedNgramVectorizer.embed(t)).collect();
    let hash = texts.concat();
    let file = NewFile {
        id,
        path: &Path::new("/root").join(id),
        size: 1,
        modified_ns: 2,
        mime_type: "text/plain",
        hash: hash.as_bytes(),
        recipe: "r",
        content_length: 3,
    };
    store.replace(&file, &chunks, &vectors).unwrap()
}

#[test]
fn replacing_leaves_nothing_of_the_old() {
    let (_dir, store) = store();
    put(&store, "a", &["old one", "old two", "old three"]);
    put(&store, "a", &["new"]);
    assert_eq!(store.counts().unwrap(), (1, 1));
    assert!(store.is_current("a", b"new", "r").unwrap());
    assert!(!store.is_current("a", b"new", "another recipe").unwrap());
    assert_eq!(store.remove("a").unwrap(), Some(1));
    assert_eq!(store.remove("a").unwrap(), None);
    assert_eq!(store.counts().unwrap(), (0, 0));
}

#[test]
fn a_second_copy_is_not_stored() {
    let (_dir, store) = store();
    assert_eq!(put(&store, "a", &["same"]), Replaced::Stored);
    assert_eq!(put(&store, "b", &["different"]), Replaced::Stored);
    assert_eq!(put(&store, "b", &["same"]), Replaced::DuplicateOf("a".into()));
    assert_eq!(store.counts().unwrap(), (1, 1), "the old content of b is gone too");
}

#[test]
fn folders_in_one_store_do_not_see_each_other() {
    let (dir, store) = store();
    put(&store, "a", &["herons fish at dusk"]);
    let other = Store::open(store.path(), &dir.path().join("elsewhere")).unwrap();
    assert!(other.files().unwrap().is_empty());
    assert!(other.search("herons", 3).unwrap().is_empty());
    assert_eq!(store.search("heron fishing", 3).unwrap()[0].file_id, "a");
    assert!(store.search("  ", 3).unwrap().is_empty());
}

#[test]
fn foreign_and_newer_databases_are_refused_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE theirs (x);").unwrap();
    assert!(matches!(Store::open(&path, dir.path()), Err(StoreError::Foreign(_))));
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).unwrap();
    assert_eq!(tables, 1);

    let newer = dir.path().join("newer.db");
    drop(Store::open(&newer, dir.path()).unwrap());
    Connection::open(&newer).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    assert!(matches!(Store::open(&newer, dir.path()), Err(StoreError::Newer { found: 99, .. })));

    let garbage = dir.path().join("garbage.db");
    std::fs::write(&garbage, "not a database at all, but long enough to be read as a header of one").unwrap();
    assert!(matches!(Store::open(&garbage, dir.path()), Err(StoreError::Sqlite { .. })));
}
