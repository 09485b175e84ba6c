//! The portal's session store: what is kept, what is not, and what does not come back.

use std::{sync::Arc, time::Duration};

use bailiwick::{
    identity::{Sessions, session::LOGIN},
    model::{FrozenClock, SystemEntropy},
    store::login,
};
use sqlx::PgPool;
use tower_sessions::Session;

use crate::support::{
    database,
    rows::{clock, half_login, limits},
};

fn store(pool: &PgPool, clock: &Arc<FrozenClock>) -> Arc<Sessions> {
    Arc::new(Sessions::new(pool.clone(), clock.clone(), Arc::new(SystemEntropy), limits().absolute))
}

#[tokio::test]
async fn a_session_is_found_by_its_id_and_the_id_is_stored_nowhere() {
    let db = database().await;
    let store = store(&db.pool, &clock());
    let session = Session::new(None, store.clone(), None);
    session.insert("colour", "green").await.unwrap();
    session.save().await.unwrap();
    let id = session.id().unwrap();

    let again = Session::new(Some(id), store, None);
    assert_eq!(again.get::<String>("colour").await.unwrap().as_deref(), Some("green"));

    let (row,): (String,) = sqlx::query_as("select session::text from session").fetch_one(&db.owner).await.unwrap();
    let bytes = id.0.to_le_bytes();
    for form in [id.to_string(), id.0.to_string(), hex::encode(bytes), hex::encode(id.0.to_be_bytes())] {
        assert!(!row.contains(&form), "{form} is in {row}");
    }
}

#[tokio::test]
async fn a_deleted_session_is_not_brought_back_by_saving_it() {
    let db = database().await;
    let store = store(&db.pool, &clock());
    let session = Session::new(None, store.clone(), None);
    session.insert("colour", "green").await.unwrap();
    session.save().await.unwrap();
    let id = session.id().unwrap();

    let slow = Session::new(Some(id), store.clone(), None);
    slow.insert("colour", "red").await.unwrap();
    session.flush().await.unwrap();
    slow.save().await.unwrap();
    assert_eq!(Session::new(Some(id), store, None).get::<String>("colour").await.unwrap(), None);
}

#[tokio::test]
async fn a_session_takes_up_a_login_only_under_a_new_id() {
    let db = database().await;
    let store = store(&db.pool, &clock());
    let login = half_login(&db.pool, "alice").await.login;
    let planted = Session::new(None, store.clone(), None);
    planted.insert("colour", "green").await.unwrap();
    planted.save().await.unwrap();
    let old = planted.id().unwrap();

    let browser = Session::new(Some(old), store.clone(), None);
    browser.insert(LOGIN, login).await.unwrap();
    assert!(browser.save().await.is_err(), "not under the id that somebody may have planted");
    browser.cycle_id().await.unwrap();
    browser.save().await.unwrap();
    assert_ne!(browser.id().unwrap(), old);
    assert!(Session::new(Some(old), store.clone(), None).get::<String>("colour").await.unwrap().is_none());

    browser.remove_value(LOGIN).await.unwrap();
    assert!(browser.save().await.is_err(), "nor does a row let go of its login");
}

#[tokio::test]
async fn sessions_end_with_their_time_and_with_their_login() {
    let db = database().await;
    let clock = clock();
    let store = store(&db.pool, &clock);
    let anonymous = Session::new(None, store.clone(), None);
    anonymous.insert("colour", "green").await.unwrap();
    anonymous.save().await.unwrap();
    let person = Session::new(None, store.clone(), None);
    let login = half_login(&db.pool, "alice").await.login;
    person.insert(LOGIN, login).await.unwrap();
    person.save().await.unwrap();
    let alive = |id| {
        let session = Session::new(Some(id), store.clone(), None);
        async move {
            session.get_value(LOGIN).await.unwrap().is_some() || session.get_value("colour").await.unwrap().is_some()
        }
    };
    let (anonymous, person) = (anonymous.id().unwrap(), person.id().unwrap());
    assert!(alive(anonymous).await && alive(person).await);

    clock.advance(Duration::from_secs(60 * 60));
    assert!(!alive(anonymous).await && alive(person).await);

    let mut connection = db.pool.acquire().await.unwrap();
    login::end(&mut *connection, login, "test", bailiwick::model::Clock::now(&*clock)).await.unwrap();
    bailiwick::store::session::delete_of_login(&mut *connection, login).await.unwrap();
    assert!(!alive(person).await);
}
