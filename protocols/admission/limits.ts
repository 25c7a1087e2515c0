/** Bounds of the admission protocol. Bytes, milliseconds, or a count. */

export const HOUR_MS = 60 * 60 * 1000
export const DAY_MS = 24 * HOUR_MS

/** How long a node's certificate lives; it renews itself in the last third. */
export const NODE_CERTIFICATE_MS = 90 * DAY_MS
export const ADMIN_CERTIFICATE_MS = 10 * 365 * DAY_MS
export const DEFAULT_INVITE_MS = DAY_MS
export const MAX_INVITE_MS = 30 * DAY_MS

/** Certificates from a node up to the one that the mesh key signed. */
export const MAX_CHAIN_CERTIFICATES = 8
export const MAX_CERTIFICATE_BYTES = 1024
export const MAX_INVITE_BYTES = 6 * 1024
export const MAX_INVITE_CHARS = 9 * 1024
export const MAX_REVOCATION_BYTES = 16 * 1024
/** One framed hello or its answer. */
export const MAX_HELLO_BYTES = 128 * 1024
/** Peers that the answer to a join names; the map names the rest. */
export const MAX_JOIN_PEERS = 64
