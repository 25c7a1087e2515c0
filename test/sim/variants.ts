/**
 * Deliberate mistakes that the simulator must find, each within so many seeds from `from` on. Each
 * replaces one text, which must be there exactly once, in one compiled file.
 *
 * Numbers are those of the project's list; some of its mistakes can be made in two ways.
 */
export interface Variant {
  readonly number: number
  readonly name: string
  /** Under dist/. */
  readonly file: string
  readonly find: string
  readonly replace: string
  /** The same mistake at the second of two guards. */
  readonly and?: { readonly find: string; readonly replace: string }
  readonly seeds: number
  /** Where to begin, 1 if not given: near the seed that found it, so that nobody waits for the rest. */
  readonly from?: number
}

export const VARIANTS: readonly Variant[] = [
  {
    number: 1,
    name: 'a release that is not persisted',
    file: 'node/shard/replicas.js',
    find: 'await store.saveShard(next);',
    replace: `if (next.released.length <= (head?.released.length ?? 0)) await store.saveShard(next);`,
    seeds: 150
  },
  {
    number: 2,
    name: 'a target that serves what it has only prepared',
    file: 'protocols/handoff/records.js',
    find: 'receiving: head.receiving.map(one => (one === entry ? prepared : one))',
    replace: `runs: joinNeighbours([...head.runs, prepared.run]),
        receiving: head.receiving.filter(one => one !== entry)`,
    seeds: 50
  },
  {
    number: 2,
    name: 'a target that takes silence for a release',
    file: 'node/handoff/keeper.js',
    find: "if (answer?.is === 'released' && answer.to === this.#parts.self.id) {",
    replace: `if (answer === undefined) await holdChunk(this.#parts, chunk, handoff, run.epoch);
        else if (answer?.is === 'released' && answer.to === this.#parts.self.id) {`,
    seeds: 150,
    from: 60
  },
  {
    number: 3,
    name: 'a source that keeps what it has released',
    file: 'protocols/handoff/records.js',
    find: 'runs: head.runs.flatMap(one => (one === run ? cutOut(one, chunk.extent) : [one])),',
    replace: 'runs: head.runs,',
    seeds: 50
  },
  {
    number: 4,
    name: 'a dirty block is lost: changes of a chunk that is being copied are not marked',
    file: 'node/shard/apply.js',
    find: 'watch.dirty?.mark(offsetBytes / BLOCK_BYTES, lengthBytes / BLOCK_BYTES);',
    replace: '',
    seeds: 100
  },
  {
    number: 4,
    name: 'a dirty block is lost: changes without data are not marked',
    file: 'node/shard/apply.js',
    find: 'watch.dirty?.mark(offsetBytes / BLOCK_BYTES, lengthBytes / BLOCK_BYTES);',
    replace:
      'if (op === Op.write) watch.dirty?.mark(offsetBytes / BLOCK_BYTES, lengthBytes / BLOCK_BYTES);',
    seeds: 150
  },
  {
    number: 5,
    name: 'a claim that overwrites a greater epoch: counters are compared without their tokens',
    file: 'crdt/volume-document.js',
    find: `if ((a.kind === 'layout' || a.kind === 'claim') && a.kind === b.kind) {`,
    replace: `if (a.kind === 'claim' && b.kind === 'claim') return a.epoch.counter - b.epoch.counter;
    if ((a.kind === 'layout' || a.kind === 'claim') && a.kind === b.kind) {`,
    seeds: 150,
    from: 20
  },
  {
    number: 6,
    name: 'a digest that is not compared',
    file: 'node/handoff/target.js',
    find: 'if (this.#table.digest() !== wish.digest)',
    replace: 'if (false)',
    seeds: 150,
    from: 23
  },
  {
    number: 7,
    name: 'a token that is not persisted',
    file: 'node/shard/control.js',
    find: 'await store.saveShard(decision.head);',
    replace: "if (request.call !== 'open') await store.saveShard(decision.head);",
    seeds: 150
  },
  {
    number: 8,
    name: 'a partial attach that serves',
    file: 'protocols/attach/machine.js',
    find: "const granted = put(state.shards, node, { is: 'granted', state: answer.state });",
    replace: `const granted = new Map([...state.shards].map(([other, shard]) =>
      [other, shard.is === 'known' ? { is: 'granted', state: shard.state } : shard]));
    granted.set(node, { is: 'granted', state: answer.state });`,
    seeds: 150
  },
  {
    number: 9,
    name: 'an approval of an older token that still commits',
    file: 'protocols/handoff/records.js',
    find: `return 'the shard is gone';
    if (compareTokens(head.token, token) !== 0)`,
    replace: `return 'the shard is gone';
    if (false)`,
    seeds: 150,
    from: 5
  },
  {
    number: 10,
    name: 'a write of an older session is applied late',
    file: 'protocols/shard-io/session.js',
    find: `        return { state, effects: DISCARD };`,
    replace: `        return { state: counted(state, state.inFlight, state.olderInFlight + 1), effects: APPLY };`,
    and: {
      find: "{ type: 'retire', stream: seat.stream, why }",
      replace: "...(why === 'stale' ? [{ type: 'retire', stream: seat.stream, why }] : [])"
    },
    seeds: 150,
    from: 12
  },
  {
    number: 11,
    name: 'two sub-block writes are merged at once',
    file: 'node/gateway/order.js',
    find: 'if (overlaps(older, entry))',
    replace: 'if (overlaps(older, entry) && !(older.merge && entry.merge))',
    seeds: 100,
    from: 6
  },
  {
    number: 12,
    name: 'a flush does not wait for every shard',
    file: 'node/gateway/links.js',
    find: 'const failure = (await Promise.allSettled(flushes))',
    replace: `const others = flushes.slice(1).map(flush => void flush.catch(() => {}));
        const failure = (await Promise.allSettled([flushes[0], ...others]))`,
    seeds: 150,
    from: 5
  },
  {
    number: 13,
    name: 'a replay leaves out FUA writes',
    file: 'node/gateway/replay.js',
    find: 'const entry = entries[i];',
    replace: 'const entry = entries[i]; if (entry.flags & 1) continue;',
    seeds: 150,
    from: 6
  },
  {
    number: 13,
    name: 'a replay that leaves out everything',
    file: 'node/gateway/restoration.js',
    find: 'isNeeded(incarnation) {',
    replace: 'isNeeded(incarnation) { return false;',
    seeds: 100,
    from: 8
  },
  {
    number: 13,
    name: 'a replay runs after reads',
    file: 'node/gateway/shard-link.js',
    find: "this.#phase = 'replaying';",
    replace:
      "this.#phase = 'replaying'; for (const read of this.#waiting.unsent.extract(r => r.op === Op.read)) this.#send(read);",
    seeds: 150,
    from: 15
  },
  {
    number: 14,
    name: 'a journal apply puts older bytes over a bypassing write',
    file: 'node/storage/admission.js',
    find: 'if (chunk.latest.has(block))\n                return false;',
    replace: 'if (chunk.latest.get(block)?.lsn === 0)\n                return false;',
    seeds: 150
  },
  {
    number: 15,
    name: 'NO_CHUNK is read as zeroes',
    file: 'node/gateway/refusals.js',
    find: 'case Status.noChunk:\n',
    replace:
      'case Status.noChunk:\n if (request.op === Op.read) { request.answered({ ...answer, status: 0, data: new Uint8Array(request.lengthBytes), crcs: new Uint32Array(request.lengthBytes / 4096).fill(2566472073) }); return; }\n',
    seeds: 150
  }
]

export function variantNamed(name: string): Variant {
  const variant = VARIANTS.find(known => known.name === name)
  if (variant === undefined) throw new Error(`there is no variant '${name}'`)
  return variant
}
