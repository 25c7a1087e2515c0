/**
 * The rounds of a soak. Each: load begins, one event strikes, load goes on for a moment and ends,
 * everything is read and judged. Events and data follow from the seed; the timing does not.
 */
import { messageOf } from '../../protocols/fault.ts'
import { Checker, type LoadResult } from '../support/process-checker.ts'
import { attach, ProcessMesh, type ProcessNode } from '../support/process-mesh.ts'
import { connectDisk, type NbdDisk } from '../support/process-nbd.ts'
import { SeededRandom } from '../support/process-random.ts'

const EVENTS = ['kill node', 'stop node', 'freeze node', 'kill gateway', 'freeze gateway'] as const
type EventName = (typeof EVENTS)[number]

const BLOCKS = 8192
const VOLUME = 'soak'
/** Operations of clients before and after an event, at least. */
const WARM_OPERATIONS = 300
const FREEZE_MS = 1500

export interface SoakRow {
  readonly event: EventName
  readonly node: string
  readonly operations: number
  readonly errors: number
  readonly seconds: number
}

export interface SoakResult {
  readonly rows: SoakRow[]
  readonly operations: number
  /** What went wrong, in words; absent if nothing did. */
  readonly failure: string | undefined
}

export async function soak(minutes: number, seed: number): Promise<SoakResult> {
  const deadline = performance.now() + minutes * 60_000
  const rows: SoakRow[] = []
  const mesh = await ProcessMesh.start([
    { name: 'west', region: 'eu-west', capacity: '4G' },
    { name: 'north', region: 'eu-north', capacity: '4G' },
    { name: 'east', region: 'us-east', capacity: '4G' },
    { name: 'gate-a', region: 'eu-west', capacity: '0' },
    { name: 'gate-b', region: 'eu-north', capacity: '0' }
  ])
  const run = new Soak(mesh, seed)
  try {
    await run.begin()
    while (performance.now() < deadline) {
      const row = await run.round()
      rows.push(row)
      console.error(`${rows.length}: ${row.event} ${row.node}, ${row.operations} operations`)
    }
    return { rows, operations: run.operations, failure: undefined }
  } catch (error) {
    mesh.report()
    return { rows, operations: run.operations, failure: messageOf(error) }
  } finally {
    await mesh.close()
  }
}

class Soak {
  operations = 0
  readonly #mesh: ProcessMesh
  readonly #random: SeededRandom
  readonly #checker: Checker
  #gateway: ProcessNode
  #disk: NbdDisk | undefined

  constructor(mesh: ProcessMesh, seed: number) {
    this.#mesh = mesh
    this.#random = new SeededRandom(seed)
    this.#checker = new Checker(seed, BLOCKS)
    this.#gateway = mesh.node('gate-a')
  }

  async begin(): Promise<void> {
    const uri = await this.#mesh.volume(this.#gateway, VOLUME, '--size', '256M', '--shards', '3')
    this.#disk = await connectDisk(uri)
    await this.#checker.writeAll(this.#disk)
  }

  async round(): Promise<SoakRow> {
    const startedAt = performance.now()
    const event = this.#random.pick(EVENTS)
    const storage = this.#mesh.node(this.#random.pick(['west', 'north', 'east']))
    const node = event.endsWith('gateway') ? this.#gateway : storage
    const { operations, errors } = await this.#loadDuring(() => this.#strike(event, node))
    this.operations += operations
    if (event !== 'kill gateway' && errors.length > 0) {
      throw new Error(`${event} ${node.name}: clients saw ${errors.join('; ')}`)
    }
    const wrong = await this.#checker.checkAll(await this.#connected(), 'acknowledged')
    if (wrong.length > 0) throw new Error(`${event} ${node.name}: ${wrong.join('; ')}`)
    const seconds = Math.round(performance.now() - startedAt) / 1000
    return { event, node: node.name, operations, errors: errors.length, seconds }
  }

  async #loadDuring(strike: () => Promise<void>): Promise<LoadResult> {
    let over = false
    const load = this.#checker.load(await this.#connected(), {
      random: this.#random,
      inFlight: 1 + this.#random.below(32),
      readPercent: this.#random.below(100),
      flushEvery: this.#random.pick([0, 10, 100]),
      until: () => over
    })
    try {
      await this.#checker.progress(WARM_OPERATIONS)
      await strike()
      if (this.#disk !== undefined) await this.#checker.progress(WARM_OPERATIONS)
    } finally {
      over = true
    }
    return load
  }

  async #strike(event: EventName, node: ProcessNode): Promise<void> {
    switch (event) {
      case 'kill node':
        await node.kill()
        return this.#backUp(node)
      case 'stop node':
        await node.stop()
        return this.#backUp(node)
      case 'freeze node':
      case 'freeze gateway':
        node.freeze()
        await new Promise(resolve => setTimeout(resolve, FREEZE_MS))
        return node.thaw()
      case 'kill gateway':
        await node.kill()
        await this.#disk?.close()
        this.#disk = undefined
        this.#gateway = this.#mesh.node(node.name === 'gate-a' ? 'gate-b' : 'gate-a')
        return this.#backUp(node)
    }
  }

  async #backUp(node: ProcessNode): Promise<void> {
    await node.up()
    await this.#mesh.converged([node, this.#gateway])
  }

  async #connected(): Promise<NbdDisk> {
    this.#disk ??= await connectDisk(await attach(this.#gateway, VOLUME, '--take-over'))
    return this.#disk
  }
}
