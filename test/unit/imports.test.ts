// Goal: the shape of the code stays what design.md section 9 says: dependencies point one way, the
// data path does not lean on the control path, and protocols/ and crdt/ are pure.
// Method: read every source file, walk its imports and look for what must not be there.
import { describe, expect, it } from 'vitest'
import { bareCode, type Import, type Module, readModules } from '../support/process-source.ts'

const root = new URL('../..', import.meta.url).pathname
const LAYERS = ['protocols', 'crdt', 'node', 'cli']
const PURE = ['protocols', 'crdt']
const DATA_PATH = ['storage', 'shard', 'gateway', 'nbd', 'stream'].map(name => `node/${name}/`)
/** What both paths may lean on: libraries of node/ without policy of their own. */
const SHARED = ['node/rpc/', 'node/stream/']

/** Libraries that compute and do nothing else; some only through the named entry. */
const PURE_LIBRARIES = new Set([
  '@node-rs/crc32',
  '@node-rs/xxhash',
  'cborg',
  'lib0',
  'multiformats',
  'uint8arraylist',
  'y-protocols',
  'yjs',
  'zod'
])

/** Of node:crypto only what gives the same answer to the same question, at once. */
const PURE_CRYPTO = new Set([
  'createHash',
  'createPrivateKey',
  'createPublicKey',
  'KeyObject',
  'sign',
  'timingSafeEqual',
  'verify'
])

const IMPURE = new RegExp(
  [
    'Date\\.now',
    'new Date\\(\\s*\\)',
    'performance\\b',
    'Math\\.random',
    'randomBytes|randomUUID|getRandomValues',
    'setTimeout|setInterval|setImmediate|queueMicrotask',
    'process\\.',
    'fetch\\(',
    'require\\(',
    'async\\b',
    'await\\b',
    'new Promise\\b'
  ]
    .map(word => `(?<![\\w.#])(?:${word})`)
    .join('|'),
  'g'
)

const product = readModules(root, LAYERS)
const everything = [...product, ...readModules(root, ['test'])]

describe('the shape of the code', () => {
  it('lets dependencies point one way: cli to node to crdt to protocols', () => {
    const layerOf = (path: string): number => LAYERS.indexOf(path.split('/')[0] ?? '')
    const wrong = edges(product).filter(
      ({ from, to }) => layerOf(to) === -1 || layerOf(to) > layerOf(from)
    )
    expect(wrong.map(describeEdge)).toEqual([])
  })

  it('keeps the data path free of the control path', () => {
    const wrong = edges(product).filter(
      ({ from, to }) =>
        inside(from, DATA_PATH) &&
        /^node\/[^/]+\//.test(to) &&
        !inside(to, [...DATA_PATH, ...SHARED]) &&
        !to.endsWith('/types.ts')
    )
    expect(wrong.map(describeEdge)).toEqual([])
  })

  it('keeps the data path free of the daemon that wires it', () => {
    const portsAndLimits = /^node\/(ports|clock|limits|block-device|[a-z-]*types)\.ts$/
    const wrong = edges(product).filter(
      ({ from, to }) =>
        inside(from, DATA_PATH) && /^node\/[^/]+\.ts$/.test(to) && !portsAndLimits.test(to)
    )
    expect(wrong.map(describeEdge)).toEqual([])
  })

  it('has no circle of imports that run code', () => {
    expect(circles(product)).toEqual([])
  })

  it('keeps clocks, randomness, sockets, files and await out of protocols/ and crdt/', () => {
    const wrong = product
      .filter(module => PURE.includes(module.path.split('/')[0] ?? ''))
      .flatMap(module => findings(module, IMPURE))
    expect(wrong).toEqual([])
  })

  it('lets protocols/ and crdt/ use only libraries that compute', () => {
    const wrong = product
      .filter(module => PURE.includes(module.path.split('/')[0] ?? ''))
      .flatMap(module =>
        module.imports
          .filter(found => !found.own && !found.typeOnly && !isPure(found))
          .map(({ target, names }) => `${module.path} imports ${names.join(', ')} of ${target}`)
      )
    expect(wrong).toEqual([])
  })

  it('has no any, no non-null assertion and nothing left to do', () => {
    const loose = /(?<=[:<|,(]\s*|\bas\s+)\bany\b|(?<=[\w)\]])!(?=[.[;,)\s]|$)(?!\s*=)/gm
    const wrong = everything.flatMap(module => findings(module, loose))
    const unfinished = everything
      .filter(module => module.path !== 'test/unit/imports.test.ts')
      .filter(({ text }) => /TODO|FIXME|@ts-(ignore|nocheck|expect-error)/.test(text))
    expect([...wrong, ...unfinished.map(({ path }) => path)]).toEqual([])
  })

  it('runs no test alone and skips none but by needs()', () => {
    const wrong = everything
      .filter(({ path }) => path.startsWith('test/') && !path.startsWith('test/support/'))
      .flatMap(module => findings(module, /\b(?:it|test|describe)\.(?:only|skip|todo|skipIf)\b/g))
    expect(wrong).toEqual([])
  })

  it('would notice a breach: words in comments and strings do not count, code does', () => {
    const lines = [
      '// await',
      "const a = 'await'",
      "const b = /await'/",
      'const c = `$',
      '{await d} await`'
    ]
    const text = `${lines.slice(0, 4).join('\n')}${lines[4]}\n`
    expect(bareCode(text).match(/await/g)).toHaveLength(1)
  })
})

interface Edge {
  readonly from: string
  readonly to: string
  readonly typeOnly: boolean
}

function edges(modules: readonly Module[]): Edge[] {
  return modules.flatMap(({ path, imports }) =>
    imports
      .filter(({ own }) => own)
      .map(({ target, typeOnly }) => ({ from: path, to: target, typeOnly }))
      .filter(({ to }) => to !== 'package.json')
  )
}

function describeEdge({ from, to }: Edge): string {
  return `${from} imports ${to}`
}

function inside(path: string, folders: readonly string[]): boolean {
  return folders.some(folder => path.startsWith(folder))
}

function isPure({ target, names }: Import): boolean {
  if (target === 'node:crypto') return names.length > 0 && names.every(n => PURE_CRYPTO.has(n))
  const parts = target.split('/')
  const name = target.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]
  return name !== undefined && PURE_LIBRARIES.has(name)
}

function findings({ path, code }: Module, pattern: RegExp): string[] {
  return [...code.matchAll(pattern)].map(match => {
    const line = code.slice(0, match.index).split('\n').length
    return `${path}:${line}: ${match[0].trim()}`
  })
}

/** One line per circle among imports that remain after types are erased. */
function circles(modules: readonly Module[]): string[] {
  const graph = new Map<string, string[]>()
  for (const { from, to, typeOnly } of edges(modules)) {
    if (!typeOnly) graph.set(from, [...(graph.get(from) ?? []), to])
  }
  const done = new Set<string>()
  const found: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path)
    if (start !== -1) found.push([...trail.slice(start), path].join(' -> '))
    if (start !== -1 || done.has(path)) return
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) visit(path, [])
  return found
}
