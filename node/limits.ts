/** Every bound of node/, by area. Bytes, milliseconds, or a count. */
import { KiB, MiB } from '../protocols/limits.ts'

// Shard server (node/shard).
/** Requests and bytes of data handed to the store and not answered, over all volumes. */
export const SHARD_IN_FLIGHT_REQUESTS = 256
export const SHARD_IN_FLIGHT_BYTES = 32 * MiB
/** What one stream may have queued before its sender has to wait; half of it restarts it. */
export const STREAM_QUEUE_REQUESTS = 512
export const STREAM_QUEUE_BYTES = 8 * MiB
/** All streams together: with many of them, each may queue less, but always this much. */
export const SHARD_QUEUE_BYTES = 256 * MiB
export const MIN_STREAM_QUEUE_BYTES = 64 * KiB
/** Beyond this many times those marks a local connection answers BUSY. */
export const LOCAL_QUEUE_FACTOR = 4
export const LOCAL_BUSY_RETRY_MS = 5
/** Deficit round robin, in blocks: added per turn, charged per request, and the most charged. */
export const ROUND_QUANTUM = 64
export const REQUEST_COST = 4
export const MAX_REQUEST_COST = 1024
/** A stream that has not said hello by then is closed. */
export const SHARD_HELLO_TIMEOUT_MS = 10_000
export const SHARD_STREAMS_PER_PEER = 1024
export const SHARD_STREAMS = 8192
/** Control calls of one volume that wait for each other, and digests that run at a time. */
export const SHARD_CALLS_WAITING = 64
export const SHARD_DIGESTS_RUNNING = 2
export const SHARD_DIGESTS_WAITING = 64
export const SHARDS_PER_NODE = 4096
/** A node with less to write than this takes no new shard. */
export const MIN_FREE_FOR_SHARD_BYTES = 16 * MiB
/** When to send a change of a chunk again that a handoff froze. */
export const FROZEN_RETRY_MS = 20
/** The longest wait of a client is that of this window and the one before. */
export const CLIENT_LOAD_WINDOW_MS = 100
/** Turns of the monitor that come closer together than this are one: rates need a length. */
export const MONITOR_TURN_MIN_MS = 40
/** A load clock that runs faster than time (scaled-clock.ts) has no timer sooner than this, of time. */
export const LOAD_TICK_MS = 80
/** Streams of requests of one shard that may take turns and still be known as sequential; at most 32. */
export const STREAM_ENDS = 8
/** Chunks whose heat a node remembers, about 100 bytes each; the coldest go. */
export const HEAT_CHUNKS = 65_536
export const HEAT_EVICTED_FRACTION = 1 / 8
export const HEAT_HALF_LIFE_MS = 300_000
/** How much a request counts for is worked out this often: off by less than a quarter of a percent. */
export const HEAT_WEIGHT_MS = 1_000
/** Of those, the hottest have a profile of the day, about 600 bytes each; so has every shard. */
export const HEAT_PROFILE_CHUNKS = 1_024
/** Chunks that get one in the same minute, and by how much they must exceed whose place they take. */
export const HEAT_PROFILES_PER_MINUTE = 64
export const HEAT_PROFILE_MARGIN = 1.25
/** In units per second: what is colder needs none. */
export const HEAT_PROFILE_MIN_LOAD = 0.01
/** An hour counts for the profile if so much of it was seen; a longer gap is no sample. */
export const HEAT_HOUR_MIN_MS = 1_800_000
export const HEAT_SAMPLE_MAX_MS = 600_000
/** Peers whose violations of shard-io are counted by name. */
export const SHARD_VIOLATORS = 1024

// Volumes and control (node/volumes, node/control).
/** One call to a shard, or one question to a node for its status. */
export const SHARD_CALL_TIMEOUT_MS = 10_000
export const NODE_STATUS_TIMEOUT_MS = 2_000
/** How long a creation waits for another node to keep what the map says of the volume. */
export const CREATE_SPREAD_TIMEOUT_MS = 3_000
/** Nodes (or volumes) asked at the same time. */
export const MAX_PARALLEL_CALLS = 16
/** Import and export: bytes of one read or write, and how many are in flight. */
export const TRANSFER_PIECE_BYTES = 1024 * 1024
export const MAX_TRANSFER_PIECES = 8
/** Import and export make what they wrote durable at these intervals: bounds the replay buffer. */
export const TRANSFER_FLUSH_BYTES = 128 * 1024 * 1024
/** How much of a volume one question for holes covers. */
export const TRANSFER_MAP_BYTES = 256 * 1024 * 1024
/** How long a failed re-attach at the start of the daemon waits before the next attempt. */
export const RESTORE_RETRY_MS = 5_000
export const MAX_SAVED_ATTACHMENTS = 10_000
/** How long a stopping control socket lets answers leave. */
export const CONTROL_CLOSE_MS = 500
/** Bytes of one JSON request to the control socket. */
export const MAX_CONTROL_BODY_BYTES = 64 * 1024
/** Progress lines of one import or export are at least this far apart. */
export const PROGRESS_INTERVAL_MS = 250
/** The window over which status measures rates, and how often it looks. */
export const RATE_INTERVAL_MS = 1_000
export const RATE_SAMPLES = 5
/** A unix socket's path: sun_path less its terminator. */
export const MAX_SOCKET_PATH_BYTES = 107

// Moves (node/moves).
/** moves.json: 65,536 ranges and 1,000 ended moves take a third of it. */
export const MAX_MOVES_FILE_BYTES = 64 * MiB
/** A start or a drain asks other nodes for their room before it answers. */
export const MOVES_CALL_TIMEOUT_MS = 15_000
/** How long people's moves wait for those to end that the node began by itself. */
export const MAKE_WAY_MS = 5_000
/** Moves that have ended which a list shows unless told. */
export const DEFAULT_LISTED_ENDED = 20
/** How long a drain waits before it looks again at what could not go; longer while nothing goes. */
export const DRAIN_RETRY_MS = 10_000
export const DRAIN_RETRY_MAX_MS = 120_000
/** A drain looks at least this often whether anything is left. */
export const DRAIN_LOOK_MS = 1_000

// Host, streams, rpc and members (node/host, node/stream, node/rpc, node/members).

/** A stream's writer is told to wait above this, and to go on below half of it. */
export const WRITE_HIGH_MARK_BYTES = MiB
/** Received and not yet taken by the listener: above this the remote's window stays shut. */
export const READ_HIGH_MARK_BYTES = MiB
/** Yamux: what one stream may have under way, and what a paused one may hold (facts: 2 and 4). */
export const STREAM_INITIAL_WINDOW_BYTES = MiB
export const STREAM_WINDOW_BYTES = 2 * MiB
export const STREAM_READ_BUFFER_BYTES = 4 * MiB
/** Handed to TLS and not yet taken by the kernel: above this a connection's writers wait. */
export const TLS_HIGH_MARK_BYTES = 256 * KiB
/** Parts of a send below this are gathered by copying; others are encrypted where they are. */
export const TLS_GATHER_BYTES = 16 * KiB
/** Streams of one protocol on one connection, each way. */
export const MAX_STREAMS_PER_PROTOCOL = 1024
/** Streams of all protocols on one connection, each way. */
export const MAX_STREAMS_PER_CONNECTION = 2048
export const MAX_CONNECTIONS = 1024
/** Handshakes that may be under way at once, and new connections per second from one address. */
export const MAX_PENDING_INBOUND = 256
export const MAX_INBOUND_PER_SECOND = 200
export const MAX_PARALLEL_DIALS = 64
export const DIAL_TIMEOUT_MS = 10_000
export const OPEN_TIMEOUT_MS = 10_000
/** From the first byte of a connection to the end of admission. */
export const ADMISSION_TIMEOUT_MS = 8_000
/** How long a refused dialler may take to read its refusal. */
export const REFUSAL_LINGER_MS = 2_000
/** Up to this many members everyone stays connected to everyone. */
export const FULL_MESH_MEMBERS = 64
/** Above it, each node keeps this many connections of its own choosing; others are on demand. */
export const PARTIAL_MESH_PEERS = 24
/** ... among them, or beside them, so many of those that it prefers. */
export const PREFERRED_PEERS = 10
export const MAX_KNOWN_PEERS = 4096
export const REDIAL_TICK_MS = 500
export const MAX_DIALS_PER_TICK = 16
export const REDIAL_MIN_MS = 500
export const REDIAL_MAX_MS = 15_000
export const PING_INTERVAL_MS = 5_000
export const PING_TIMEOUT_MS = 10_000
/** An older connection of a peer that has dialled anew has this long to show that it lives. */
export const SUSPECT_TIMEOUT_MS = 5_000
/** A connection on which so many pings in a row went unanswered is dead; a busy disk is not. */
export const DEAD_AFTER_PINGS = 3
/** One published message, and one frame of gossip with several of them. */
export const MAX_GOSSIP_BYTES = MiB
export const MAX_GOSSIP_FRAME_BYTES = 8 * MiB
export const MAX_GOSSIP_OUTBOUND_BYTES = 16 * MiB
export const RPC_TIMEOUT_MS = 10_000
/** Calls of one peer that are being answered; more are cut off. */
export const MAX_RPC_INBOUND_PER_PEER = 128
export const RENEW_CHECK_MS = 60_000
export const MAX_USED_INVITES = 100_000
export const MAX_REVOCATIONS = 100_000

// Load (node/load).
/** How often gossip of load looks whether something is due. */
export const LOAD_GOSSIP_TICK_MS = 1_000

// NBD (nbd/). Server, per connection: requests and bytes between their header and the moment in
// which their answer has left; a connection at its bound is not read until some have.
export const NBD_IN_FLIGHT_REQUESTS = 256
export const NBD_IN_FLIGHT_BYTES = 32 * MiB
/** Of all connections together; but each may always have one request, or this many bytes. */
export const NBD_SERVER_BYTES = 256 * MiB
export const NBD_GUARANTEED_BYTES = MiB
/** Per listener. */
export const NBD_MAX_CONNECTIONS = 256
export const NBD_MAX_EXPORTS = 4096
export const NBD_MAX_DESCRIPTION_BYTES = 1024
export const NBD_PREFERRED_BLOCK_BYTES = 4 * KiB
/** From accept to the first request, TLS included. */
export const NBD_HANDSHAKE_TIMEOUT_MS = 15_000
/** For a client that said goodbye to take its last answers. */
export const NBD_LINGER_MS = 30_000
export const NBD_TCP_KEEPALIVE_MS = 30_000
/** What one read takes from the kernel at most; one buffer for all connections. */
export const NBD_RECEIVE_BYTES = 256 * KiB
/** A payload with at least this much to come is received right where it belongs. */
export const NBD_DIRECT_BYTES = 32 * KiB
/** Payloads up to the second size are cut from slabs of the first. */
export const NBD_SLAB_BYTES = 256 * KiB
export const NBD_SLAB_PAYLOAD_BYTES = 32 * KiB
/** Parts of answers below this are gathered by copying; others leave as they are. */
export const NBD_GATHER_BYTES = 32 * KiB
export const NBD_OUTPUT_BLOCK_BYTES = 256 * KiB
/** Output blocks kept for the next answers, in the process. */
export const NBD_SPARE_BLOCKS = 16
/** Longest unix socket path that the kernel takes. */
export const UNIX_PATH_BYTES = 107
// NBD client.
export const NBD_CLIENT_IN_FLIGHT = 1024
export const NBD_CLIENT_TIMEOUT_MS = 60_000
export const NBD_CLIENT_SWEEP_MS = 500
export const NBD_CLIENT_CONNECT_TIMEOUT_MS = 15_000
/** Answers to one option, and descriptors of one block status. */
export const NBD_CLIENT_OPTION_REPLIES = 8192
export const NBD_CLIENT_DESCRIPTORS = 65_536

// Storage (node/storage).

/** All journal segments together; a small file system or capacity gets an eighth of itself.
 *  The least holds a few of the largest records. */
export const MAX_JOURNAL_BYTES = 128 * MiB
export const MIN_JOURNAL_BYTES = 16 * MiB
/** Segments that a full journal consists of. */
export const JOURNAL_SEGMENTS = 4
/** What one append takes along; a single larger change goes alone. */
export const JOURNAL_BATCH_BYTES = 4 * MiB
/** Data of changes in memory until they are in their chunk files; beyond it changes wait ... */
export const MAX_OVERLAY_BYTES = 64 * MiB
/** ... and beyond this many waiting bytes they are answered BUSY. */
export const MAX_WAITING_BYTES = 256 * MiB
/** Unsynced bytes (journal and bypass) that start a background sync at once. */
export const MAX_UNSYNCED_BYTES = 16 * MiB
/** Longest time a change stays unsynced in the background. */
export const SYNC_DELAY_MS = 300
/** How long an idle store waits before it marks its last sync in the journal. */
export const SYNC_MARK_DELAY_MS = 1000
/** Overlay bytes, or age of its oldest change, at which changes are applied to chunk files. */
export const APPLY_BYTES = 16 * MiB
export const APPLY_DELAY_MS = 1000
export const APPLY_BATCH_BYTES = 16 * MiB
/** Changes that one apply batch takes. */
export const APPLY_BATCH_CHANGES = 16_384
/** Chunks worked on at once by the applier and by a checkpoint; writes in flight per chunk. */
export const APPLY_PARALLEL_CHUNKS = 4
export const APPLY_PARALLEL_WRITES = 16
/** Longest time between the first applied change and its checkpoint. */
export const CHECKPOINT_DELAY_MS = 10_000
/** Wait before background work that met a full disk is tried again. */
export const STORAGE_RETRY_MS = 250
/** Writes at least this long into untouched blocks go past the journal. */
export const BYPASS_BYTES = 64 * KiB
/** Checksum tables kept in memory, in blocks (5 bytes each). */
export const MAX_CACHED_TABLE_BLOCKS = 16 * 1024 * 1024
/** Chunk files open at once. */
export const MAX_OPEN_CHUNK_FILES = 256
/** How old the polled free space of the file system may get. */
export const SPACE_POLL_MS = 1000
/** Kept free for tables and heads; a small file system keeps an eighth of itself, at most this. */
export const MAX_RESERVE_BYTES = 64 * MiB
/** Removed shards that are remembered. */
export const MAX_TOMBSTONES = 10_000
/** A manifest, a table or any other small checked file, read as a whole. */
export const MAX_SEALED_BYTES = 64 * MiB
/** Chunks that one shard keeps; its manifest lists each in 16 bytes, half of MAX_SEALED_BYTES. */
export const MAX_SHARD_CHUNKS = 2 * 1024 * 1024
/** The record of a shard in its manifest, beside the list of chunks. */
export const MAX_SHARD_RECORD_BYTES = 31 * MiB

// Gateway (node/gateway).
/** A node that does not answer for so long fails the requests that wait for it. */
export const DEFAULT_IO_TIMEOUT_MS = 30_000
/** A request whose node answers others but never settles this one fails after so many time-outs. */
export const IO_AGE_FACTOR = 4
/** A holder that no shard has heard for so long is taken for gone. */
export const DEFAULT_HOLDER_TIMEOUT_MS = 30_000
export const DEFAULT_ATTACH_TIMEOUT_MS = 30_000
/** An attach that misses a shard, or a chunk, looks into the map again after so long. */
export const ATTACH_FETCH_AFTER_MS = 1_000
/** An approval waits so long for the changes of its chunk that are in flight. */
export const CUTOVER_BARRIER_MS = 2_000
/** A source whose approval was refused may ask again after so long. */
export const CUTOVER_RETRY_MS = 500
/** The source is asked what became of a cutover: first after so long, then ever less often. */
export const CUTOVER_ASK_MIN_MS = 200
export const CUTOVER_ASK_MAX_MS = 2_000
/** How long a grow waits for the cutovers that are open: somewhat more than one lives. */
export const CUTOVER_WAIT_MS = 12_000
/** A detach waits less: a cutover that is approved may end without the gateway. */
export const DETACH_CUTOVER_WAIT_MS = 2_000
/** Open cutovers of one attachment, and decided ones whose ids are remembered. */
export const MAX_OPEN_CUTOVERS = 64
export const MAX_ENDED_CUTOVERS = 4_096
/** Changes kept for replay and changes in flight, of one attachment; at half a flush is begun. */
export const REPLAY_BYTES = 64 * MiB
/** What a change costs of it beside its data. */
export const REPLAY_ENTRY_BYTES = 512
/** Requests of one link that are sent and not answered. */
export const LINK_IN_FLIGHT = 1024
export const LINK_KEEP_ALIVE_MS = 3_000
/** A connection on which something is asked and nothing heard for so long is made anew. */
export const LINK_RESET_MS = 10_000
export const LINK_DIAL_TIMEOUT_MS = 10_000
export const LINK_BACK_OFF_MIN_MS = 25
export const LINK_BACK_OFF_MAX_MS = 2_000
/** The longest pause that a busy node may ask for. */
export const BUSY_PAUSE_MAX_MS = 1_000
/**
 * A request that met no chunk, or a moved one, asks again after a quarter of what it has waited so
 * far, within these: a chunk that is about to be held is a matter of milliseconds.
 */
export const REROUTE_PAUSE_MIN_MS = 5
export const REROUTE_PAUSE_MAX_MS = 250
export const GATEWAY_CALL_TIMEOUT_MS = 10_000
/** Most bytes that one block-status request looks at. */
export const STATUS_SPAN_BYTES = 256 * MiB

// Handoffs (node/handoff).
/** Blocks that one read of a copy takes along: little enough that clients do not wait for it. */
export const HANDOFF_PIECE_BLOCKS = 64
/** ... and while clients are active: they wait for one piece at a time. */
export const HANDOFF_SHARED_PIECE_BLOCKS = 16
/** More changed blocks than these are copied before the holder is asked, in so many rounds at most. */
export const HANDOFF_FEW_BLOCKS = 32
export const HANDOFF_LAST_ROUNDS = 4
/** A target makes durable what it has stored after so much of it. */
export const HANDOFF_FLUSH_BYTES = 8 * MiB
/** Pieces of one copy that are being read or sent at the same time. */
export const HANDOFF_PIECES_IN_FLIGHT = 4
/** Handoffs in which a node takes part as target. */
export const MAX_RECEIVING = 4
/** Ended handoffs whose outcome is remembered in memory. */
export const MAX_ENDED_HANDOFFS = 1_024
export const HANDOFF_OPEN_TIMEOUT_MS = 5_000
export const HANDOFF_CALL_TIMEOUT_MS = 5_000
/** How often a holder that refuses for the moment is asked within one attempt. */
export const HANDOFF_ASK_ATTEMPTS = 8
/** How often the outcome is told to whoever approved; it also asks by itself. */
export const HANDOFF_SETTLE_ATTEMPTS = 3
/** A target that was told `released` over the stream has so long before it is called. */
export const HANDOFF_HELD_WAIT_MS = 2_000
/** Between two attempts to finish a committed handoff. */
export const HANDOFF_RETRY_MIN_MS = 100
export const HANDOFF_RETRY_MAX_MS = 5_000
/** Between two looks at what handoffs left behind. */
export const HANDOFF_KEEPER_MS = 5_000
/** A sign-post to where a chunk went stays at least so long after it was confirmed. */
export const HANDOFF_SIGN_POST_MS = 60_000
/** A partial copy that nobody goes on with is dropped after so long. */
export const HANDOFF_PARTIAL_KEEP_MS = 600_000

// Load: what is measured, kept and foretold (node/load).
/** Questions that the load keeper has not answered, and how long one may take. */
export const MAX_KEEPER_ASKS = 256
export const KEEPER_ASK_TIMEOUT_MS = 60_000
/** A keeper that said nothing for so long is told of minutes only, and not of seconds, until it does. */
export const KEEPER_SILENT_MS = 600_000
/** A keeper that failed starts anew after so long. */
export const KEEPER_RESTART_MIN_MS = 1_000
export const KEEPER_RESTART_MAX_MS = 60_000
/** How long a stopping daemon lets its keeper write. */
export const KEEPER_STOP_MS = 5_000
/** What training may take of one core. */
export const TRAINING_CORE_PART = 0.05
/** Forecasts that one message of the keeper brings: decoding it holds the daemon's thread. */
export const NEWS_FORECASTS = 32
/** Steps of a past that are read at a time; a live one counts four times. */
export const PAST_SLICE_STEPS = 400
/** Pieces of history that were taken and not delivered. */
export const MAX_UNDELIVERED_PIECES = 256
/** Of the history of a forecast that somebody asked for. */
export const OUTLOOK_SLICE_STEPS = 200
export const MAX_MODELS_BYTES = 16 * MiB

/** A part of a shard's history goes after its chunks once it is so large, or so long after. */
export const CARRY_LEAST_PART = 0.01
export const CARRY_AFTER_MS = 30_000
/** Between two attempts to deliver it; it is given up after the longest. */
export const CARRY_RETRY_MIN_MS = 500
export const CARRY_RETRY_MAX_MS = 1_800_000
/** Seconds over which what is shown as the load of now is measured. */
export const SHOWN_SECONDS = 5
/** What of its capacity a node may use before it counts as overloaded. */
export const THRESHOLD_PART = 0.8
export const LOAD_CALL_TIMEOUT_MS = 2_000
/** Calls that a keeper has to work for. */
export const LOAD_WORK_TIMEOUT_MS = 30_000

// Balancing (node/balance). Milliseconds of load time, unless told.
/** What the standing forecasts reach. */
export const STANDING_MINUTES = 60
/** A subject is asked for more than that once in so long; so many are kept, and asked at a time. */
export const LONG_OUTLOOK_MS = 3_600_000
/** ... and so much time apart, however fast the load clock runs. */
export const LONG_OUTLOOK_LEAST_MS = 10_000
export const MAX_LONG_OUTLOOKS = 512
export const MAX_LONG_OUTLOOKS_ASKED = 2
/** The load of now: how often it is looked at, and over how long it is a mean. */
export const BALANCE_SAMPLE_MS = 5_000
export const BALANCE_PRESSURE_MS = 60_000
/** After new forecasts a plan is made within this, not by all nodes at once. */
export const BALANCE_JITTER_MS = 20_000
/** While the node is over its threshold now, a plan is made this often. */
export const BALANCE_REACTIVE_MS = 30_000
/** Shards that one look sees: those with the greatest loads to come. */
export const MAX_LOOKED_SHARDS = 64
/** Chunks of all of them times the steps of their paths: what one plan works on; but so many of each. */
export const MAX_LOOKED_STEPS = 24_576
export const LEAST_LOOKED_CHUNKS = 8
/** Negotiations that have not led to a move yet, at a time. */
export const MAX_NEGOTIATIONS = 3
/** Chunks of one offer: as many as a plan looks at. */
export const MAX_OFFERED_CHUNKS = 1_024
/** What a peer said through gossip is believed for so long. */
export const PEER_HEARD_MS = 600_000
/** What moved is in no forecast any more once one comes so long after its end. */
export const MOVED_SETTLES_MS = CARRY_AFTER_MS + 15_000
/** Later than that it is taken for settled, whatever comes. */
export const MOVED_FORGOTTEN_MS = 900_000
/** How fast moves copy until one was measured; bytes per second of time. */
export const COPY_BYTES_PER_SECOND = 32 * MiB
/** What a move takes beside copying until some were measured, and at most; ms of time. */
export const MOVE_DELAY_MS = 1_000
export const MOST_DELAY_MS = 60_000
/** A move that is smaller says nothing of how fast copying is, a larger one nothing of the rest. */
export const MEASURED_COPY_BYTES = 4 * MiB
/** balance.json and balance-peers.json, and balance-moves.json: what is remembered of moves. */
export const MAX_BALANCE_FILE_BYTES = MiB
export const MAX_BALANCE_MOVES_BYTES = 32 * MiB
export const MAX_PAST_MOVES = 16_384

// Map (node/map).
/** One record of the map log: a whole document at most. */
export const MAX_MAP_RECORD_BYTES = 40 * MiB
/** The log is replaced by a snapshot above this, and above so many times its last snapshot. */
export const MAP_LOG_MIN_BYTES = 4 * MiB
export const MAP_LOG_GROWTH = 3
export const MAX_MAP_LOG_BYTES = 512 * MiB
export const MAP_LOG_RETRY_MS = 1_000
/** Between two syncs with a random peer: this much, and up to as much again. */
export const MAP_SYNC_INTERVAL_MS = 15_000
/** After a connection was made, or a gap was seen in what a peer gossiped: at most this. */
export const MAP_SYNC_SOON_MS = 250
export const MAP_CALL_TIMEOUT_MS = 30_000
/** Peers that are synced with at once, and that wait for it. */
export const MAP_SYNCS_RUNNING = 4
export const MAP_SYNCS_WAITING = 256
/** Peers whose last list of heads is remembered, and whose bad updates are counted by name. */
export const MAP_PEERS_REMEMBERED = 1_024
/** Lines of those lists, all together: about 150 bytes each. */
export const MAP_HEADS_REMEMBERED = 262_144
/** Peers asked at once for a document that is not here. */
export const MAP_FETCH_PARALLEL = 8
/** The same for peers that are known to have it: each sends all of it. */
export const MAP_FETCH_KEEPERS = 2
export const MAP_FETCH_TIMEOUT_MS = 10_000
/** Between two attempts to hand a new volume's document to a peer that did not take it. */
export const MAP_SPREAD_PAUSE_MS = 100
/** What one start announced, remembered in case its documents must be discarded. */
export const MAX_MAP_SESSION_RECORDS = 4_096
/** Documents of volumes that one node keeps. */
export const MAX_MAP_DOCUMENTS = 65_535
/** How often the time of agreement is noted, and how soon a node with nothing to lose is current. */
export const MAP_AGREED_INTERVAL_MS = 3_600_000
/** A tombstone is kept for so long: longer than any certificate lives. */
export const TOMBSTONE_RETENTION_MS = 400 * 24 * 3_600_000
/** Time between two looks at what waits on an attachment. */
export const GATEWAY_SWEEP_MS = 500
/** After so long a gateway that is going down leaves without the last flush and farewell. */
export const GATEWAY_CLOSE_MS = 10_000
/** A look that comes so much later than planned: it was us who stood still, not the nodes. */
export const GATEWAY_STALL_MS = 1_000
/** A limit on requests lets through at once what comes in within so long, and one at least. */
export const IOPS_BURST_MS = 100
/** Long writes on stripe units up to this size are copied together, one request per chunk. */
export const GATHER_UNIT_BYTES = 32 * KiB

// New volumes (node/volumes).
/** Nodes that are asked how their next day will be, and for how long. */
export const PLACEMENT_OUTLOOKS = 12
export const PLACEMENT_OUTLOOK_TIMEOUT_MS = 3_000

// What a node serves at most (node/shard/scheduler.ts, node/load/node-limit.ts).
/** A bounded node begins at once what comes in within so long. */
export const MAX_LOAD_BURST_MS = 100
export const MAX_LIMITS_FILE_BYTES = 4 * KiB

// Calibration (node/load/calibrate.ts and beside it).
/** What is written and read: this much, or half or a quarter of it where less is free. */
export const CALIBRATION_DATA_BYTES = 256 * MiB
/** Beside twice the data this much stays free: the journal of the scratch store, and its reserve. */
export const CALIBRATION_SPARE_BYTES = 128 * MiB
export const CALIBRATION_CELL_MS = 2_000
export const CALIBRATION_QUICK_CELL_MS = 500
export const CALIBRATION_WARM_UP_MS = 500
/** Requests in flight; of 1 MiB fewer, which is as many bytes as matter. */
export const CALIBRATION_IN_FLIGHT = 32
export const CALIBRATION_LARGE_IN_FLIGHT = 8
/** Writes are flushed when this much was written, or so much time has passed. */
export const CALIBRATION_FLUSH_BYTES = 8 * MiB
export const CALIBRATION_FLUSH_MS = 100
/** How long a start looks whether clients use the node, and from how many requests a second on. */
export const CALIBRATION_LOOK_MS = 500
export const CALIBRATION_BUSY_IOPS = 20

// Daemon (node/daemon.ts and beside it).
/** Peers are written for the next start at most this often. */
export const KNOWN_PEERS_SAVE_MS = 2_000
/** How often the daemon looks whether its addresses changed. */
export const ADDRESS_CHECK_MS = 15_000
/** An unrenewed certificate this close to its end is a problem to show. */
export const CERTIFICATE_WARNING_MS = 14 * 24 * 3_600_000
export const LOW_SPACE_FRACTION = 0.05
/** How long a leaving node lets the news of it spread. */
export const LEAVE_SPREAD_MS = 1_000
/** glibc: buffers up to this come from the heap, which keeps this much when it shrinks or grows. */
export const MALLOC_MMAP_BYTES = 32 * MiB
export const MALLOC_TRIM_BYTES = 256 * MiB
export const MALLOC_TOP_PAD_BYTES = 16 * MiB
/** V8: the heap may grow by this much of itself between two full collections. */
export const HEAP_GROWING_PERCENT = 300

// Series of load (node/load).
/** Files of series open at once; more shards cost an open and a close per minute each. */
export const MAX_OPEN_SERIES_FILES = 1024
/** Series that one node keeps, and damaged files of one series that are kept aside. */
export const MAX_SERIES = 65_536
export const MAX_BAD_SERIES_FILES = 3
/** Names of time zones that were looked up, known or not. */
export const MAX_ZONES_REMEMBERED = 1_024
/** While pasts are read, how far that is is said after so many of them. */
export const WARMING_TOLD_EVERY = 32
/** Rows that one import takes at most. */
export const MAX_IMPORT_ROWS = 200_000
/** Minutes of all volumes of a file that wait to be sent to their shards. */
export const MAX_IMPORT_WAITING_MINUTES = 200_000

// Balancing: receipts, verdicts and the score (node/balance).
/** Between two looks at what is due: steps of the score, verdicts, targets to tell. */
export const JOURNAL_LOOK_MS = 60_000
/** Steps of the score that are counted at one look: what was measured before a restart, a day of it. */
export const MAX_SCORED_STEPS = 288
/** After so long a target that does not answer is not asked what became of a move, nor told of it. */
export const JUDGE_GIVES_UP_MS = 24 * 3_600_000
/** Moves that one look judges, and tells targets of. */
export const MAX_JUDGED_AT_ONCE = 32
export const MAX_TOLD_AT_ONCE = 64
export const BALANCE_CALL_TIMEOUT_MS = 10_000
