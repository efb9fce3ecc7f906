// What things are called on the page.
import type { FileState, Liveness } from "@ragpulse/client";

/** The states of files. */
export const STATE_NAMES: Readonly<Record<FileState, string>> = {
  queued: "Queued",
  processing: "Processing",
  completed: "Completed",
  failed: "Failed",
  skipped: "Skipped",
  cancelled: "Cancelled",
};

/** Whether a pipeline is heard. */
export const LIVENESS_NAMES: Readonly<Record<Liveness, string>> = { live: "Live", late: "Late", lost: "Lost", offline: "Offline" };
