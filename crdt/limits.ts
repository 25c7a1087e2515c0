/** Every bound of the documents, by name. Bytes, characters, milliseconds, or a count. */
import { KiB, MAX_MAP_MESSAGE_BYTES, MiB, TiB } from '../protocols/limits.ts'

/** One record: the largest is a layout of 256 columns with 3 replicas each. */
export const MAX_RECORD_BYTES = 64 * KiB
export const MAX_KEY_CHARS = 200
/** Records of one document, live or dead, and of one group of a document. */
export const MAX_RECORDS = 262_144
export const MAX_GROUP_RECORDS = 1_024
/** One update, and so one whole document: it must fit a message with room for its frame. */
export const MAX_UPDATE_BYTES = MAX_MAP_MESSAGE_BYTES - MiB
/** A state vector costs about 10 bytes for each start of a node that ever wrote. */
export const MAX_STATE_VECTOR_BYTES = 4 * MiB
/** One update names so many clients at most: starts of nodes since the generation began. */
export const MAX_CLIENTS = 262_144

/** A document larger than this, and larger than so many times its live part, is rewritten. */
export const REWRITE_BYTES = MiB
export const REWRITE_FACTOR = 4
/** Greatest number of a generation; no mesh gets there by rewriting. */
export const MAX_GENERATION = 0xffff_ffff

/** Extents and layout generations, as in the messages of the data path. */
export const MAX_EXTENT = 0xffff_ffff
export const MAX_LAYOUT_GENERATION = 0xffff
export const MAX_IOPS = 1_000_000_000
export const MAX_VERSION_CHARS = 64
/** Declared patterns: "mon,tue,wed,thu,fri,sat,sun 02:00" and longer; a day at most. */
export const MAX_WHEN_CHARS = 64
export const MAX_PATTERN_MINUTES = 1440
export const MAX_PATTERN_BYTES_PER_SECOND = TiB
/** Different patterns that one volume ever had: a removal stays as a record. */
export const MAX_PATTERN_RECORDS = 4_096
export const MAX_ZONE_CHARS = 64
/** What may be set for the balancing of a volume. */
export const MAX_POLICY_REGIONS = 64
export const MAX_POLICY_RTT_MS = 60_000
export const MIN_HORIZON_MINUTES = 15
export const MAX_HORIZON_MINUTES = 1440
export const MIN_THRESHOLD_PART = 0.01
export const MAX_POLICY_MOVES_PER_HOUR = 1_000
export const MAX_POLICY_BYTES_PER_HOUR = Number.MAX_SAFE_INTEGER
/** Cost of moving between two regions; and different pairs for which it was ever set. */
export const MAX_LINK_FACTOR = 1_000
export const MAX_LINK_RECORDS = 4_096
export const MAX_REVOCATION_BYTES = 8 * KiB
/** 48 bits: two starts never meet under one client id (Yjs itself draws only 32). */
export const CLIENT_ID_BYTES = 6
