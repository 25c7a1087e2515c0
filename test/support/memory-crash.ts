/**
 * What a crash leaves of a memory disk: from an image and the history of steps since, the image
 * that is found next. The habits are those of memory-disk.ts.
 */
import { Content } from './memory-content.ts'

export const SECTOR_BYTES = 512

export type Step =
  | { is: 'write'; inode: number; position: number; bytes: Uint8Array }
  | { is: 'truncate'; inode: number; length: number }
  | { is: 'punch'; inode: number; position: number; length: number }
  | { is: 'sync'; inode: number; from: number }
  | { is: 'link'; path: string; inode: number }
  | { is: 'rename'; from: string; to: string }
  | { is: 'remove'; path: string }
  | { is: 'directory'; path: string }
  | { is: 'sync directory'; path: string; from: number }

export interface CrashOptions {
  /** Steps of the history that happened; default all. */
  readonly steps?: number
  /** 'none': the process died. 'some': power went, by the seed. 'all': nothing unsynced stays. */
  readonly loss: 'none' | 'some' | 'all'
  readonly seed?: number
}

export interface Image {
  readonly files: Map<number, Content>
  readonly names: Map<string, number>
  readonly directories: Set<string>
}

/** What a crash after some of the history leaves of the image that it began with. */
export function imageAfter(base: Image, history: readonly Step[], options: CrashOptions): Image {
  const happened = history.slice(0, options.steps)
  const random = generator(options.seed ?? 0)
  const durable = options.loss === 'none' ? undefined : durableSteps(happened)
  const cuts = new Map<string, number>()
  const image: Image = {
    files: new Map([...base.files].map(([inode, content]) => [inode, content.clone()])),
    names: new Map(base.names),
    directories: new Set(base.directories)
  }
  for (const [i, step] of happened.entries()) {
    if (durable === undefined || durable.has(i)) applyStep(image, step)
    else if (options.loss === 'some') applyUnsynced(image, step, i, happened.length, random, cuts)
  }
  return image
}

/** Steps that a later sync of their file or directory made durable. */
function durableSteps(history: readonly Step[]): Set<number> {
  const fileSynced = new Map<number, number>()
  const directorySynced = new Map<string, number>()
  for (const step of history) {
    // Of two at once the one that was called first may end last.
    if (step.is === 'sync') advance(fileSynced, step.inode, step.from)
    if (step.is === 'sync directory') advance(directorySynced, step.path, step.from)
  }
  const durable = new Set<number>()
  for (const [i, step] of history.entries()) {
    const directory = directoryOf(step)
    const bound =
      'inode' in step && step.is !== 'link'
        ? fileSynced.get(step.inode)
        : directorySynced.get(directory ?? '')
    if (bound !== undefined && i < bound) durable.add(i)
  }
  return durable
}

function advance<K>(bounds: Map<K, number>, key: K, bound: number): void {
  bounds.set(key, Math.max(bounds.get(key) ?? 0, bound))
}

function directoryOf(step: Step): string | undefined {
  if (step.is === 'rename') return parentOf(step.to)
  if (step.is === 'link' || step.is === 'remove' || step.is === 'directory') {
    return parentOf(step.path)
  }
  return undefined
}

function applyStep(image: Image, step: Step): void {
  if (step.is === 'directory') image.directories.add(step.path)
  else if (step.is === 'link') {
    image.names.set(step.path, step.inode)
    contentOf(image, step.inode)
  } else if (step.is === 'remove') {
    image.names.delete(step.path)
    image.directories.delete(step.path)
  } else if (step.is === 'rename') {
    const inode = image.names.get(step.from)
    if (inode === undefined) return
    image.names.delete(step.from)
    image.names.set(step.to, inode)
  } else if (step.is !== 'sync' && step.is !== 'sync directory') {
    applyToFile(contentOf(image, step.inode), step)
  }
}

type FileStep = Extract<Step, { is: 'write' | 'truncate' | 'punch' }>

function applyToFile(content: Content, step: FileStep): void {
  if (step.is === 'write') content.write(step.bytes, step.position)
  else if (step.is === 'truncate') content.truncate(step.length)
  else content.punch(step.position, step.length)
}

/** Data: kept, lost or torn, each by itself. Names: kept up to a cut in their directory. */
function applyUnsynced(
  image: Image,
  step: Step,
  index: number,
  end: number,
  random: () => number,
  cuts: Map<string, number>
): void {
  const directory = directoryOf(step)
  if (directory !== undefined) {
    const cut = cuts.get(directory) ?? Math.floor(random() * (end + 1))
    cuts.set(directory, cut)
    if (index < cut) applyStep(image, step)
    return
  }
  const fate = random()
  if (step.is !== 'write') {
    if (fate < 0.5) applyStep(image, step)
  } else if (fate < 0.35) applyStep(image, step)
  else if (fate < 0.7) tear(contentOf(image, step.inode), step, random)
}

function tear(
  content: Content,
  write: { position: number; bytes: Uint8Array },
  random: () => number
): void {
  const { position, bytes } = write
  let at = 0
  while (at < bytes.length) {
    const inSector = SECTOR_BYTES - ((position + at) % SECTOR_BYTES)
    const some = Math.min(inSector, bytes.length - at)
    if (random() < 0.5) content.write(bytes.subarray(at, at + some), position + at)
    at += some
  }
}

function contentOf(image: Image, inode: number): Content {
  const content = image.files.get(inode) ?? new Content()
  image.files.set(inode, content)
  return content
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '.' : path.slice(0, slash)
}

/** mulberry32: the same numbers for the same seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
