// Package mqtt takes decisions to whoever subscribes: Decision → message.
//
// A Link owns the connection to one broker. Publish copies a decision into bounded memory and
// returns; Run, in a goroutine of its own, connects, sends what waits, and connects again after
// every loss:
//
//	Publish ──▶ policy ──▶ outbox ─┬─ states: retained, the newest wins ─┐
//	             (worth it?)       └─ queue: results and events, in order ┴─▶ session (paho) ──▶ broker
//
// A record leaves the queue when the broker has acknowledged it over the connection that carried
// it; whatever else happens, it is sent again. So a record arrives at least once, in order at its
// first arrival, and a subscriber drops repetitions by (stream_id, seq).
//
// The embedded broker (StartBroker) and the subscriber behind the verb watch (Watch) live here too,
// so that only this package knows the client library.
package mqtt
