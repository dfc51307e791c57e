"""What runtimes receive: snapshots and deltas of a control plane, read consistently."""
