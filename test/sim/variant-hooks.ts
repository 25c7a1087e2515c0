/** Hooks of node:module for variant-loader.ts: they run on a thread of their own. */
import type { InitializeHook, LoadHook } from 'node:module'
import type { Variant } from './variants.ts'

let variant: Variant | undefined

export const initialize: InitializeHook<Variant> = data => {
  variant = data
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context)
  if (variant === undefined || !url.endsWith(`/dist/${variant.file}`)) return loaded
  const text = String(loaded.source)
  const parts = text.split(variant.find)
  if (parts.length !== 2) {
    const count = parts.length - 1
    console.error(`variant '${variant.name}' no longer applies: found ${count} times`)
    process.exit(3)
  }
  return { ...loaded, source: parts.join(variant.replace) }
}
