/** Every bound that messages and machines obey, by name. Bytes, milliseconds, or a count. */

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB
export const TiB = 1024 * GiB
export const PiB = 1024 * TiB

/** The unit of checksum, order, allocation and of everything a shard stores. */
export const BLOCK_BYTES = 4 * KiB

export const MAX_VOLUME_BYTES = PiB
export const DEFAULT_EXTENT_BYTES = 64 * MiB
export const MIN_EXTENT_BYTES = MiB
export const MAX_EXTENT_BYTES = GiB
export const MIN_STRIPE_UNIT_BYTES = BLOCK_BYTES
export const DEFAULT_STRIPE_UNIT_BYTES = 64 * KiB
export const MAX_COLUMNS = 256
export const MAX_COPIES = 3

/** Names of volumes, nodes, regions and hosts: 1..63 of a-z 0-9 - . _ , beginning with a-z 0-9. */
export const MAX_NAME_CHARS = 63

/** Largest range of one shard-io request (data bytes), and of a whole frame of it. */
export const MAX_IO_BYTES = 4 * MiB
export const MAX_SHARD_IO_FRAME_BYTES = MAX_IO_BYTES + (MAX_IO_BYTES / BLOCK_BYTES) * 4 + 4 * KiB

/** Largest control message (CBOR, length-prefixed) on any protocol but map sync. */
export const MAX_CONTROL_MESSAGE_BYTES = MiB
export const MAX_MAP_MESSAGE_BYTES = 32 * MiB
/** Runs that one shard may hold for one volume. */
export const MAX_RUNS = 65_536
export const MAX_ADDRESSES = 16
export const MAX_ADDRESS_CHARS = 256
/** Greatest integer counter accepted from the wire (tokens, epochs, incarnations, sessions). */
export const MAX_COUNTER = Number.MAX_SAFE_INTEGER - 1

// Shards (protocols/shard-io, protocols/shard-control).
/** Hellos of one stream, and opens of one shard, that may wait for older requests to settle. */
export const MAX_WAITING_HELLOS = 4
export const MAX_WAITING_OPENS = 64
/** Runs that a shard accepts for one volume: its state must fit a control message. */
export const MAX_GRANTED_RUNS = 4096
/** Runs of one grow: one per column and replica. */
export const MAX_GROW_RUNS = MAX_COLUMNS * MAX_COPIES
/** A mover lives for one cutover: after so long another one may take its place. */
export const MOVER_TIMEOUT_MS = 30_000

// Load (protocols/load).
export const HOURS_PER_DAY = 24
/** The mean of an hour of the day looks back over about so many days. */
export const PROFILE_DAYS = 7
/** Per second, and units per second: what is greater is no measurement. */
export const MAX_HEAT_RATE = 1e15
export const MAX_HEAT_LOAD = 1e12

// Attach (protocols/attach).
/** Shards that one attach follows, those named by released and receiving runs included. */
export const MAX_ATTACH_NODES = 1024

/** Calibration (load/capacity.ts): its file, its cells, and what one may claim. */
export const MAX_CALIBRATION_FILE_BYTES = 64 * KiB
export const MAX_CALIBRATION_CELLS = 64
export const MAX_CELL_RATE = 1e12

/** NBD (nbd/). What the specification lets every client send: 32 MiB of payload, 4,096 of name. */
export const NBD_MAX_PAYLOAD_BYTES = 32 * MiB
export const NBD_MAX_STRING_BYTES = 4096
/** Longest body of one handshake option; its names, queries and lists have to fit. */
export const NBD_MAX_OPTION_BYTES = 16 * KiB
/** Options of one handshake: far above what a client needs to look at every export. */
export const NBD_MAX_OPTIONS = 4096
/** Descriptors in one block status answer; a client asks on from where it ends. */
export const NBD_MAX_STATUS_DESCRIPTORS = 4096
/** Longest answer to an option, and longest chunk without data, that our client accepts. */
export const NBD_MAX_REPLY_BYTES = 64 * KiB
