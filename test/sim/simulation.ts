/**
 * One simulation: nodes, volumes and clients under one timeline, all of it from one seed.
 *
 *   create --> load, with faults --> the weather clears --> finale: everything is judged
 *
 * The shipped service of a node runs above simulated ports (node.ts); what it does is judged by
 * model.ts while it runs and by finale.ts at the end. The first thing that is wrong ends the run.
 */
import { isFault, messageOf } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { GiB } from '../../protocols/limits.ts'
import { SHARD_IO_PROTOCOL } from '../../protocols/shard-io/messages.ts'
import { ExclusiveCheck } from './exclusive-check.ts'
import { Faults } from './faults.ts'
import { finale } from './finale.ts'
import { Mover } from './mover.ts'
import { SimNetwork } from './network.ts'
import { SimNode } from './node.ts'
import { Operator } from './operator.ts'
import { type SimRandom, streamOf } from './random.ts'
import { ServeCheck } from './serve-check.ts'
import { Steps } from './steps.ts'
import { Timeline } from './timeline.ts'
import { type SeedResult, Totals } from './totals.ts'
import { Trace } from './trace.ts'
import { SimVolume } from './volume.ts'

const START_MS = 20_000
const LOAD_MS = 60_000
const CHECK_EVERY_MS = 200

export class Simulation {
  readonly seed: number
  readonly timeline: Timeline
  readonly network: SimNetwork
  readonly steps = new Steps()
  readonly totals = new Totals()
  readonly random: SimRandom
  readonly storage: SimNode[]
  readonly gateways: SimNode[]
  readonly volumes: SimVolume[] = []
  readonly failures: string[] = []
  readonly faults: Faults
  readonly operator: Operator
  readonly mover: Mover
  /** Clients ask for more. */
  isLoading = false
  /** Faults strike; clients may see errors. */
  isStormy = false
  readonly #trace: Trace
  readonly #exclusive = new ExclusiveCheck()
  readonly serving = new ServeCheck(why => this.fail(why))

  constructor(seed: number, isTraced: boolean) {
    this.seed = seed
    this.#trace = new Trace(isTraced)
    this.timeline = new Timeline(error => this.fail(`something threw: ${textOf(error)}`))
    this.network = new SimNetwork(this.timeline, streamOf(seed, 'network'))
    this.network.tap = (protocol, { name }, stream) =>
      protocol === SHARD_IO_PROTOCOL ? this.serving.stream(name, stream) : stream
    this.random = streamOf(seed, 'shape')
    const node = (name: string, capacityBytes: number) =>
      new SimNode(this, name, nodeIdOf(name), capacityBytes)
    const storageCount = 3 + this.random.below(2)
    this.storage = Array.from({ length: storageCount }, (_, i) => node(`store${i}`, GiB))
    const gates = Array.from({ length: 1 + this.random.below(2) }, (_, i) => node(`gate${i}`, 0))
    const both = this.random.chance(0.5) ? this.storage.slice(0, 1) : []
    this.gateways = [...gates, ...both]
    if (this.gateways.length === 1) this.gateways.push(...this.storage.slice(0, 1))
    this.faults = new Faults(this)
    this.operator = new Operator(this)
    this.mover = new Mover(this)
  }

  get nodes(): SimNode[] {
    return [...new Set([...this.storage, ...this.gateways])]
  }

  async run(): Promise<SeedResult> {
    const startedAt = process.cpuUsage()
    const unhandled = (error: unknown) => this.fail(`nobody handled: ${textOf(error)}`)
    process.on('unhandledRejection', unhandled)
    try {
      await this.#start()
      await this.#load()
      if (this.failures.length === 0) await finale(this)
    } catch (error) {
      this.fail(textOf(error))
    } finally {
      process.off('unhandledRejection', unhandled)
    }
    const { user, system } = process.cpuUsage(startedAt)
    return this.#result((user + system) / 1000)
  }

  /** Runs until it is so; false if it took longer. */
  async until(condition: () => boolean, withinMs: number): Promise<boolean> {
    const isOver = () => this.failures.length > 0 || condition()
    const isSo = await this.timeline.run(isOver, this.timeline.nowMs + withinMs)
    return isSo && this.failures.length === 0
  }

  note(who: string, what: string): void {
    this.#trace.add(this.timeline.nowMs, who, what)
  }

  /** Something is wrong with the code under test. */
  fail(why: string): void {
    this.note('FAILED', why)
    this.failures.push(why)
  }

  /** `node` is at a step of the disk or of a protocol, now. */
  observed(node: SimNode, step: string): void {
    if (step.includes(':')) this.note(node.name, `'${step}'`)
    if (step === 'source: committed') {
      const wrong = this.#exclusive.committed(node)
      if (wrong !== undefined) this.fail(wrong)
    }
    this.steps.observe(node.name, step, this.timeline.nowMs)
    this.faults.ofHandoffs.atStep(node, step)
  }

  nodeUp(node: SimNode): void {
    this.#exclusive.started(node)
    for (const volume of this.volumes) volume.model.powerBack(node.id, this.timeline.nowMs)
  }

  nodeDown(node: SimNode): void {
    for (const volume of this.volumes) volume.nodeDown(node)
  }

  powerOff(node: SimNode): void {
    node.losePower()
    for (const volume of this.volumes) volume.model.powerLost(node.id)
  }

  startFailed(node: SimNode, error: unknown): void {
    if (isFault(error, 'DATA_DIR') || !this.faults.hasHurtDisk(node)) {
      this.fail(`${node.name} does not start: ${textOf(error)}`)
    }
  }

  operationFailed(volume: SimVolume, what: string, error: unknown): void {
    if (this.isStormy || volume.rotten.size > 0) return
    if (isFault(error, 'FENCED', 'CLOSED')) return
    this.fail(`${what} failed in good weather: ${messageOf(error)}`)
  }

  flushed(volume: SimVolume): void {
    this.faults.flushed(volume)
  }

  async #start(): Promise<void> {
    for (const node of this.nodes) node.start()
    const areUp = () => this.nodes.every(node => node.isUp && node.running?.member.peers().length)
    if (!(await this.until(areUp, START_MS))) throw new Error('the nodes did not come up')
    const count = this.random.chance(0.25) ? 2 : 1
    for (let number = 1; number <= count; number++) {
      const columns = 1 + this.random.below(Math.min(3, this.storage.length))
      const from = this.random.below(this.storage.length)
      const chosen = [...this.storage, ...this.storage].slice(from, from + columns)
      const volume = new SimVolume(this, number, chosen, 1 + this.random.below(3))
      const creator = this.gateways[0]?.running
      if (creator === undefined) throw new Error('no gateway is up')
      let isMade = false
      volume.create(creator).then(
        () => {
          isMade = true
        },
        error => this.fail(`no volume: ${textOf(error)}`)
      )
      if (!(await this.until(() => isMade, START_MS))) throw new Error('a volume was not created')
      this.volumes.push(volume)
    }
  }

  async #load(): Promise<void> {
    this.isLoading = true
    this.isStormy = true
    this.operator.begin()
    this.mover.begin()
    this.faults.begin()
    this.#watch()
    const goal = 202 + this.random.below(20)
    const isEnough = () =>
      this.totals.operations >= goal && this.faults.isEnough && this.totals.handoffs > 0
    await this.until(isEnough, LOAD_MS)
    this.isLoading = false
  }

  /** No two live nodes ever hold the same chunk. */
  #watch(): void {
    this.timeline.after(CHECK_EVERY_MS, () => {
      const wrong = this.#exclusive.check(this.nodes)
      if (wrong !== undefined) this.fail(wrong)
      this.#watch()
    })
  }

  #result(cpuMs: number): SeedResult {
    const { totals, failures, seed, timeline } = this
    const { operations, errors, attaches, takeOvers, handoffs, passed } = totals
    return {
      seed,
      failures,
      operations,
      errors,
      attaches,
      takeOvers,
      handoffs,
      passed,
      events: timeline.ran,
      virtualMs: Math.round(timeline.nowMs),
      cpuMs: Math.round(cpuMs),
      digest: this.#trace.digest(),
      faults: Object.fromEntries(totals.faults),
      steps: Object.fromEntries(this.steps.counts),
      trace: this.#trace.lines()
    }
  }
}

function nodeIdOf(name: string): NodeId {
  const base58 = name.replaceAll(/[^1-9A-HJ-NP-Za-km-z]/g, 'z')
  return `12D3KooW${base58.padEnd(44, '1')}` as NodeId
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
