/** Which of a host's own addresses are worth telling others. */

const LOOPBACK = /^\/(ip4\/127\.|ip6\/::1\/)/
const LINK_LOCAL = /^\/(ip6\/fe80:|ip4\/169\.254\.|ip6zone\/)/

/**
 * Multiaddrs without the peer id. Loopback counts only if there is nothing else (several nodes on
 * one machine); link-local addresses mean nothing elsewhere.
 */
export function announceable(addresses: readonly string[]): string[] {
  const bare = new Set(addresses.map(address => address.replace(/\/p2p\/[^/]+$/, '')))
  const global = [...bare].filter(address => !LINK_LOCAL.test(address))
  const remote = global.filter(address => !LOOPBACK.test(address))
  return remote.length > 0 ? remote : global
}
