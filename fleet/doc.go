// Package fleet brings a release to many devices in waves, over the broker that they have.
//
//	rollout ──waves──▶ desired state of a group, retained ──▶ agents, each in its own time
//
// Everything that a rollout knows is in three retained topics of its group. Whoever reconciles keeps
// nothing for himself: he may be killed anywhere and started again, and two of them do what one does.
// The broker names a release, its number and its digest; where a device fetches it from is the
// device's own setting, and it takes what a trusted key signed.
package fleet
