/** What the service sends, as far as the page reads it: `openapi.json` describes all of it. */

interface ModelName {
  name: string;
  version: string;
}

interface ListedModel extends ModelName {
  description: string;
  is_default: boolean;
}

interface Manifest {
  head: string | null;
  labels: string[];
  abstention_threshold: number;
  conformal: { coverage: number } | null;
}

interface ModelDetail extends ModelName {
  description: string;
  manifest: Manifest;
}

interface LabelProbability {
  label: string;
  probability: number;
  accepted: boolean;
}

interface PredictedClip {
  label: string;
  probability: number;
  start_seconds: number;
  end_seconds: number;
}

interface PredictedFrame {
  index: number;
  clip: number;
  time_seconds: number;
  attention: number;
}

interface VideoWarning {
  code: string;
  message: string;
}

interface VideoFacts {
  width: number;
  height: number;
  duration_seconds: number;
  frame_rate: number | null;
  is_variable_frame_rate: boolean;
  codec: string;
  container: string;
  num_frames_sampled: number;
  rotation_degrees: number;
  is_mirrored: boolean;
  audio: string;
}

interface Prediction {
  model: ModelName;
  prediction: LabelProbability;
  probabilities: LabelProbability[];
  label_set: string[] | null;
  clips: PredictedClip[];
  frames: PredictedFrame[];
  warnings: VideoWarning[];
  video: VideoFacts;
  timings_ms: { total: number; decode: number };
}

interface JobLimits {
  job_from_seconds: number;
  job_from_bytes: number;
  job_max_duration_seconds: number;
}

interface Capabilities {
  limits: { max_upload_bytes: number; max_duration_seconds: number };
  jobs: JobLimits | null;
}

interface JobProgress {
  num_clips_done: number;
  num_clips: number;
}

interface WireProblem {
  code: string;
  detail: string;
  request_id?: string;
}

interface Job {
  id: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  progress: JobProgress | null;
  result: Prediction | null;
  problem: WireProblem | null;
}

/** A job of this tab, in the session storage. */
interface StoredJob {
  id: string;
  name: string;
  size: number;
}
