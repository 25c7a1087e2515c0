/** Spoils valid messages, seeded: what a broken or hostile peer may send instead. */
import type { SeededRandom } from './process-random.ts'

type Mutation = (message: Buffer, random: SeededRandom) => Buffer

/** Values on which length and count fields tend to break. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]
const MAX_RANDOM_BYTES = 2048
const MAX_INSERTED_BYTES = 64

const MUTATIONS: readonly [Mutation, ...Mutation[]] = [
  (message, random) => message.subarray(0, random.below(message.length + 1)),
  (_, random) => random.bytes(random.below(MAX_RANDOM_BYTES)),
  (message, random) => {
    const spoiled = Buffer.from(message)
    const flips = 1 + random.below(4)
    for (let i = 0; i < flips && spoiled.length > 0; i++) {
      const at = random.below(spoiled.length)
      spoiled[at] = (spoiled[at] ?? 0) ^ (1 << random.below(8))
    }
    return spoiled
  },
  (message, random) => {
    const spoiled = Buffer.from(message)
    if (spoiled.length < 4) return spoiled
    const value = EDGES[random.below(EDGES.length)] ?? 0
    const at = random.below(spoiled.length - 3)
    if (random.below(2) === 0) spoiled.writeUInt32BE(value, at)
    else spoiled.writeUInt32LE(value, at)
    return spoiled
  },
  (message, random) => {
    const at = random.below(message.length + 1)
    const extra = random.bytes(1 + random.below(MAX_INSERTED_BYTES))
    return Buffer.concat([message.subarray(0, at), extra, message.subarray(at)])
  },
  (message, random) => {
    const from = random.below(message.length + 1)
    const to = from + random.below(message.length - from + 1)
    return Buffer.concat([message.subarray(0, from), message.subarray(to)])
  },
  (message, random) => Buffer.concat([message, message, random.bytes(random.below(16))])
]

/** One of the messages, spoiled once or twice. */
export function mutate(messages: readonly [Buffer, ...Buffer[]], random: SeededRandom): Buffer {
  const once = random.pick(MUTATIONS)(random.pick(messages), random)
  return random.below(3) === 0 ? random.pick(MUTATIONS)(once, random) : once
}
