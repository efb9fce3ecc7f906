// Custom properties in `style`, which React sets one by one, as the page's policy allows.
import "react";

declare module "react" {
  interface CSSProperties {
    [property: `--${string}`]: string | number;
  }
}
