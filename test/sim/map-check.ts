/** All maps say the same: the mesh and, where it is kept, each volume. */
import type { SimNode } from './node.ts'

/** Where two differ, in words. */
export function mapsDiffer(nodes: readonly SimNode[]): string | undefined {
  const maps = nodes.flatMap(({ name, running }) => (running ? [{ name, map: running.map }] : []))
  const [first, ...others] = maps
  if (first === undefined) return undefined
  const mesh = textOf(first.map.mesh())
  for (const { name, map } of others) {
    if (textOf(map.mesh()) !== mesh) return `${first.name} and ${name} differ on the mesh`
  }
  for (const id of first.map.mesh().volumes.keys()) {
    const views = maps.flatMap(({ name, map }) => {
      const view = map.volume(id)
      return view === undefined ? [] : [{ name, text: textOf(view) }]
    })
    const odd = views.find(({ text }) => text !== views[0]?.text)
    if (odd !== undefined) return `${views[0]?.name} and ${odd.name} differ on volume ${id}`
  }
  return undefined
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (part instanceof Map) return [...part].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1))
    if (part === null || typeof part !== 'object' || Array.isArray(part)) return part
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}
