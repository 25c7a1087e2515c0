/** What the volume operations are made of, and what they answer. Plain types; see volumes.ts. */
import type { Nonce, Token, VolumeId } from '../../protocols/ids.ts'
import type { Attachment, Gateway } from '../gateway/types.ts'
import type { Load } from '../load/load.ts'
import type { ShardMap } from '../map/types.ts'
import type { Clock, Log, Network, Random } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'

/** The parts of a daemon that volume operations use. */
export interface VolumeParts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly network: Network
  readonly rpc: Rpc
  readonly map: ShardMap
  readonly gateway: Gateway
  readonly exports: ExportService
  /** What is known of the load of nodes; absent: new volumes are placed without it. */
  readonly load?: Load | undefined
  /** Instead of PLACEMENT_OUTLOOK_TIMEOUT_MS: tests run on machines of any speed. */
  readonly outlookTimeoutMs?: number | undefined
  /** Where this gateway keeps what it has attached; absent in tests that never restart. */
  readonly savedAttachments?: AttachmentList | undefined
}

/** Where NBD clients of this host find a volume. */
export interface ExportPoint {
  readonly uri: string
  /** The same over TCP, if the daemon listens there. */
  readonly tcpUri?: string
  /** Path of the unix socket, or undefined if only TCP is served. */
  readonly socketPath: string | undefined
  readonly exportName: string
}

/** The NBD server as the control path sees it; wired to node/nbd. */
export interface ExportService {
  /** Serves the attachment under `name`. An export of the same volume is replaced. */
  add: (volume: VolumeId, name: string, attachment: Attachment) => Promise<ExportPoint>
  /** Ends the export and its connections. Idempotent. */
  remove: (volume: VolumeId) => Promise<void>
  point: (volume: VolumeId) => ExportPoint | undefined
  /** Connected NBD clients. */
  connections: (volume: VolumeId) => number
}

/** A volume that this gateway serves until it is told to detach it, across restarts. */
export interface SavedAttachment {
  readonly volume: VolumeId
  readonly name: string
  /** The token it was last held under: who finds a greater one does not attach again. */
  readonly token: Token
}

/** The durable list of them; `save` replaces it as a whole. */
export interface AttachmentList {
  load: () => Promise<SavedAttachment[]>
  save: (list: readonly SavedAttachment[]) => Promise<void>
}

export interface TransferProgress {
  readonly doneBytes: number
  /** Undefined while the length of a stream is not known. */
  readonly totalBytes: number | undefined
  /** Of them, bytes that were no holes. */
  readonly dataBytes: number
}

export interface TransferResult {
  readonly volume: VolumeId
  readonly bytes: number
  readonly dataBytes: number
  /** Of the whole image, holes included: what `sha256sum` prints for the file. */
  readonly sha256: string
}

export interface TransferOptions {
  readonly onProgress: (progress: TransferProgress) => void
  readonly signal: AbortSignal
}

export function newNonce(random: Random): Nonce {
  return Buffer.from(random.bytes(8)).toString('hex') as Nonce
}

export function newVolumeId(random: Random): VolumeId {
  return Buffer.from(random.bytes(16)).toString('hex') as VolumeId
}
